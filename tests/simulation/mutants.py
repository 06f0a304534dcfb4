"""Rules of the product, each broken on purpose: a simulation that passes them over proves nothing.

Each mutant replaces as little as breaks its rule, in every process alike. `seeds` are those in
which it is looked for, and `traits` the kind of world in which it can show itself at all.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from itertools import count
from typing import Any, NamedTuple

import broker.follow
from broker.batch import FORMAT_VERSION
from broker.departures import Departures
from broker.embedded.access import EmbeddedInbound
from broker.embedded.pool import EmbeddedIntake
from broker.errors import BrokerUnavailable, SubmitRefused
from broker.follow import Known
from broker.interface import Delivery, Position, StoredRecord, Stream
from broker.producer import Fate, Producer
from broker.record import Fence, Record, Settled
from services.front.view import FrontView
from services.view.history import Publication
from services.view.keys import KnownKeys
from services.view.ledger import Judgement, Ledger
from services.view.settled import SettledNumbers
from services.worker.claim import Claim, ClaimLost
from services.worker.following_up import FollowingUp
from services.worker.held import Held, HeldDelivery
from services.worker.sequels import ToFollow
from tests.simulation.chance import replaced
from tests.simulation.world import Traits

ORDERED = Traits()
UNORDERED = Traits(is_order_kept=False)
LOST = Traits(is_log_lost=True)
SHORT = Traits(is_log_short=True)
HANDLED = Traits(has_handlers=True)
REPEATED = Traits(has_repeats=True)


class Mutant(NamedTuple):
    """A rule, and how to break it."""

    breaks: Callable[[ExitStack], None]
    traits: Traits
    seeds: range

    @contextmanager
    def broken(self) -> Iterator[None]:
        """Have the rule broken for a while."""
        with ExitStack() as stack:
            self.breaks(stack)
            yield


def _replace(stack: ExitStack, owner: object, **values: object) -> None:
    for name, value in values.items():
        stack.enter_context(replaced(owner, name, value))


# ---- what is settled


def _dedupe_off(stack: ExitStack) -> None:
    _replace(
        stack,
        SettledNumbers,
        is_whole=lambda *_: False,
        has_any=lambda *_: False,
        has=lambda *_: False,
    )


def _bare_maximum(stack: ExitStack) -> None:
    def is_whole(self: SettledNumbers, producer: str, number: int) -> bool:
        known = self._producers.get(producer)
        return known is not None and number <= known.highest

    _replace(stack, SettledNumbers, is_whole=is_whole)


def _keys_unknown(stack: ExitStack) -> None:
    _replace(stack, KnownKeys, has=lambda *_: False)


def _keys_left_out_of_snapshots(stack: ExitStack) -> None:
    _replace(stack, KnownKeys, rows=lambda _: [])


# ---- what counts


def _fence_ignored(stack: ExitStack) -> None:
    take_fence = Ledger._take_fence

    def ignore(self: Ledger, position: Position, fence: Fence) -> Judgement:
        head = self.head
        judgement = take_fence(self, position, fence)
        if head >= 0:
            self.head = head
        return judgement

    _replace(stack, Ledger, _take_fence=ignore)


def _after_ignored(stack: ExitStack) -> None:
    judge = Ledger.judge

    def ignore(self: Ledger, position: Position, record: Record) -> Judgement:
        if isinstance(record, Settled) and self.fence is not None:
            record = Settled(self.head, record.wall_ms, record.batches, record.payloads)
        return judge(self, position, record)

    _replace(stack, Ledger, judge=ignore)


def _no_fence_needed(stack: ExitStack) -> None:
    judge = Ledger.judge

    def begin_anywhere(self: Ledger, position: Position, record: Record) -> Judgement:
        if isinstance(record, Settled) and self.fence is None:
            self.fence = Fence(FORMAT_VERSION, "", record.nonce, "", 1, 0)
            self.fence_position, self.head = position - 1, record.after
        return judge(self, position, record)

    _replace(stack, Ledger, judge=begin_anywhere)


# ---- what a worker does


def _settle_once_in_a_record(stack: ExitStack) -> None:
    """Only what the log says is settled is acknowledged: it takes this to get at rules below."""

    def is_settled(self: Held, held: HeldDelivery) -> bool:
        return not held.decided

    _replace(stack, Held, _is_settled=is_settled)


def _settle_before_read_back(stack: ExitStack) -> None:
    _settle_once_in_a_record(stack)

    async def append(self: Claim, body: bytes, entries: int) -> None:
        if self._lost is not None:
            raise ClaimLost(self._lost)
        self._in_flight = body
        self._read_back = asyncio.get_running_loop().create_future()
        try:
            await self._log.append(body, entries=entries)
        except BrokerUnavailable as error:
            raise ClaimLost(str(error)) from error

    _replace(stack, Claim, append=append)


def _lost_claim_goes_on(stack: ExitStack) -> None:
    _settle_once_in_a_record(stack)
    _replace(stack, Claim, _lose=lambda self, _: self._confirm(), is_lost=property(lambda _: False))


def _acks_out_of_order(stack: ExitStack) -> None:
    def newest(intake: EmbeddedIntake) -> Delivery:
        tag, batch = next(reversed(intake._unsettled.items()))
        return Delivery(tag, batch.body, batch.is_redelivered)

    settle = EmbeddedIntake.settle

    async def settle_newest(self: EmbeddedIntake, delivery: Delivery) -> None:
        await settle(self, newest(self) if self._unsettled else delivery)

    _replace(stack, EmbeddedIntake, settle=settle_newest)


def _bare_cancel(stack: ExitStack) -> None:
    @asynccontextmanager
    async def intake(self: EmbeddedInbound, at_most: int) -> AsyncIterator[EmbeddedIntake]:
        await self._link.reach()
        assert self._stored is not None
        opened = self._stored.open_intake(at_most, self._link.node_id, self._link.travel)
        self._link.attach(opened)
        try:
            yield opened
        finally:
            # The AMQP channel is closed some time later, or with its connection.
            opened.cancel()
            asyncio.get_running_loop().call_later(
                random.expovariate(1.0), self._link.detach, opened
            )

    _replace(stack, EmbeddedInbound, intake=intake)


# ---- what follows from records


def _said_to_be_followed_at_once(stack: ExitStack) -> None:
    following = FollowingUp._submit

    async def submit(self: FollowingUp, to_follow: ToFollow, *arguments: Any) -> None:
        self._sequels.followed = max(self._sequels.followed, to_follow.position)
        await following(self, to_follow, *arguments)

    _replace(stack, FollowingUp, _submit=submit)


def _followed_under_other_numbers(stack: ExitStack) -> None:
    following = FollowingUp._submit
    numbers = count(1_000)

    async def submit(self: FollowingUp, to_follow: ToFollow, *arguments: Any) -> None:
        await following(self, to_follow._replace(position=next(numbers)), *arguments)

    _replace(stack, FollowingUp, _submit=submit)


# ---- what a front does


def _resend_out_of_order(stack: ExitStack) -> None:
    async def submit_until_known(
        self: Producer, state: Departures, number: int, body: bytes, entries: int
    ) -> Fate:
        inbound = self._broker.inbound(state.partition)
        options: dict[str, Any] = {"entries": entries, "message_id": str(number)}
        try:
            await inbound.submit(body, **options)
        except SubmitRefused:
            return Fate.NOWHERE
        except BrokerUnavailable:
            # Others go first.
            assert self._tasks is not None
            self._tasks.create_task(submit_later(inbound, body, options))
        return Fate.TAKEN

    async def submit_later(inbound: Any, body: bytes, options: dict[str, Any]) -> None:
        while True:
            await asyncio.sleep(random.uniform(0.02, 0.5))
            try:
                await inbound.submit(body, **options)
            except SubmitRefused:
                return
            except BrokerUnavailable:
                continue
            return

    _replace(stack, Producer, _submit_until_known=submit_until_known)


def _epoch_not_compared(stack: ExitStack) -> None:
    recover = FrontView.recover

    def recover_any(
        self: FrontView, channel: str, epoch: str, offset: int, at_most: int
    ) -> list[Publication] | None:
        return recover(self, channel, "", offset, at_most)

    _replace(stack, FrontView, recover=recover_any)


def _no_cut_asked_for(stack: ExitStack) -> None:
    _replace(stack, FrontView, _ask_for_cut=lambda *_: None)


# ---- how a log is read


def _resume_without_comparing(stack: ExitStack) -> None:
    async def resume(
        stream: Stream, batches: AsyncIterator[Sequence[StoredRecord]], known: Known
    ) -> Sequence[StoredRecord]:
        async with asyncio.timeout(broker.follow.RESUME_SECONDS):
            records = await anext(batches)
        return records[1:]

    _replace(stack, broker.follow, _resume=resume)


def _loss_unsaid(stack: ExitStack) -> None:
    _replace(stack, FrontView, lose_continuity=lambda *_: None)


MUTANTS: dict[str, Mutant] = {
    "dedupe off": Mutant(_dedupe_off, ORDERED, range(2, 12)),
    "fence ignored": Mutant(_fence_ignored, ORDERED, range(1, 11)),
    "after ignored": Mutant(_after_ignored, ORDERED, range(3, 13)),
    "settle before read-back": Mutant(_settle_before_read_back, ORDERED, range(1, 11)),
    "keys unknown": Mutant(_keys_unknown, REPEATED, range(1, 5)),
    "keys left out of snapshots": Mutant(_keys_left_out_of_snapshots, REPEATED, range(1, 11)),
    "resend out of order": Mutant(_resend_out_of_order, ORDERED, range(7, 17)),
    "a bare cancel when leaving": Mutant(_bare_cancel, ORDERED, range(5, 15)),
    "read from mid-log without a fence": Mutant(_no_fence_needed, SHORT, range(3, 13)),
    "resume without comparing": Mutant(_resume_without_comparing, LOST, range(5, 15)),
    "acks out of order": Mutant(_acks_out_of_order, ORDERED, range(3, 13)),
    "settled numbers as a bare maximum": Mutant(_bare_maximum, UNORDERED, range(2, 12)),
    "a lost claim goes on": Mutant(_lost_claim_goes_on, LOST, range(15, 26)),
    "epoch not compared": Mutant(_epoch_not_compared, LOST, range(5, 15)),
    "no cut asked for": Mutant(_no_cut_asked_for, LOST, range(77, 87)),
    "said to be followed at once": Mutant(_said_to_be_followed_at_once, HANDLED, range(24, 34)),
    "followed under other numbers": Mutant(_followed_under_other_numbers, HANDLED, range(1, 5)),
    "loss unsaid": Mutant(_loss_unsaid, LOST, range(5, 15)),
}
