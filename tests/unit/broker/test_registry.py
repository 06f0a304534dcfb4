"""Which processes are live, over the embedded broker and with a clock turned by hand."""

import asyncio
import heapq
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec
import pytest
from msgspec.structs import replace

from broker.embedded import EmbeddedAccess, EmbeddedBroker, EmbeddedLimits
from broker.errors import BrokerUnavailable
from broker.registry import (
    ANNOUNCE_SECONDS,
    MESSAGE_BYTES_AT_MOST,
    SILENT_SECONDS,
    Node,
    Registry,
    open_registry,
)

# Enough for every task to get as far as it can: nothing here takes a tenth of it.
_TURNS = 60
_STEP_SECONDS = 0.25


class HandClock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._now + seconds, self._count, future))
        await future

    async def advance(self, seconds: float) -> None:
        """Let time pass in small steps, and everybody do what is due."""
        end = self._now + seconds
        while self._now < end:
            self._now = min(end, self._now + _STEP_SECONDS)
            while self._sleepers and self._sleepers[0][0] <= self._now:
                sleeper = heapq.heappop(self._sleepers)[2]
                if not sleeper.done():
                    sleeper.set_result(None)
            await turns()


async def turns() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def broker() -> EmbeddedBroker:
    return EmbeddedBroker({"main": 1})


def describe(access: EmbeddedAccess, role: str = "front") -> Node:
    return Node(access.node_id, role, f"{role} {access.node_id}", ("main",), 0.0)


@asynccontextmanager
async def joining(
    broker: EmbeddedBroker, clock: HandClock, node_id: str, role: str = "front"
) -> AsyncIterator[Registry]:
    async with (
        broker.open(node_id) as access,
        open_registry(access.bus, describe(access, role), clock=clock, jitter=lambda: 0.5) as made,
    ):
        await turns()
        await clock.advance(2 * _STEP_SECONDS)
        yield made


def ids(nodes: Sequence[Node]) -> list[str]:
    return [node.id for node in nodes]


async def test_a_process_is_live_to_itself_at_once(
    broker: EmbeddedBroker, clock: HandClock
) -> None:
    async with joining(broker, clock, "a") as registry:
        assert ids(registry.live()) == ["a"]


async def test_processes_know_each_other_before_their_next_announcement(
    broker: EmbeddedBroker, clock: HandClock
) -> None:
    async with joining(broker, clock, "a") as a, joining(broker, clock, "b") as b:
        assert 2 * _STEP_SECONDS < ANNOUNCE_SECONDS
        assert ids(a.live()) == ids(b.live()) == ["a", "b"]
        assert a.live() == b.live()


async def test_live_nodes_can_be_asked_for_by_role(
    broker: EmbeddedBroker, clock: HandClock
) -> None:
    async with joining(broker, clock, "a") as a, joining(broker, clock, "w", "worker"):
        assert ids(a.live("worker")) == ["w"]
        assert ids(a.live("front")) == ["a"]
        assert a.live("nobody") == []


async def test_a_process_that_leaves_is_gone_at_once(
    broker: EmbeddedBroker, clock: HandClock
) -> None:
    async with joining(broker, clock, "a") as a:
        async with joining(broker, clock, "b"):
            pass
        await turns()
        assert ids(a.live()) == ["a"]


async def is_missed_in_time(clock: HandClock, registry: Registry) -> None:
    """One of two processes falls silent, and is gone when it has been for long enough."""
    await clock.advance(SILENT_SECONDS - ANNOUNCE_SECONDS)
    assert ids(registry.live()) == ["a", "b"]
    await clock.advance(ANNOUNCE_SECONDS + 2 * _STEP_SECONDS)
    assert ids(registry.live()) == ["a"]


async def test_a_silent_process_is_gone_after_a_while(
    broker: EmbeddedBroker, clock: HandClock
) -> None:
    async with joining(broker, clock, "a") as a, joining(broker, clock, "b"):
        broker.disconnect("b")
        await is_missed_in_time(clock, a)


async def test_processes_that_announce_themselves_stay_live(
    broker: EmbeddedBroker, clock: HandClock
) -> None:
    async with joining(broker, clock, "a") as a, joining(broker, clock, "b") as b:
        await clock.advance(10 * SILENT_SECONDS)
        assert ids(a.live()) == ids(b.live()) == ["a", "b"]


async def test_a_process_that_lost_its_connection_forgets_nobody(
    broker: EmbeddedBroker, clock: HandClock
) -> None:
    async with joining(broker, clock, "a"), joining(broker, clock, "b") as b:
        broker.disconnect("b")
        await clock.advance(2 * SILENT_SECONDS)
        assert ids(b.live()) == ["a", "b"]


async def test_processes_know_each_other_again_once_the_connection_is_back(
    broker: EmbeddedBroker, clock: HandClock
) -> None:
    async with joining(broker, clock, "a") as a, joining(broker, clock, "b") as b:
        broker.disconnect("b")
        await clock.advance(2 * SILENT_SECONDS)
        broker.reconnect("b")
        await turns()
        # The next attempt to listen comes at the latest after the longest pause.
        await clock.advance(6)
        assert ids(a.live()) == ids(b.live()) == ["a", "b"]
        await clock.advance(SILENT_SECONDS)
        assert ids(b.live()) == ["a", "b"]


async def test_a_process_that_died_meanwhile_is_gone_once_the_connection_is_back(
    broker: EmbeddedBroker, clock: HandClock
) -> None:
    async with joining(broker, clock, "a") as a, joining(broker, clock, "b"):
        broker.disconnect("a")
        broker.disconnect("b")
        await clock.advance(2 * SILENT_SECONDS)
        broker.reconnect("a")
        await turns()
        await clock.advance(2 * SILENT_SECONDS)
        assert ids(a.live()) == ["a"]


async def test_nobody_is_forgotten_while_the_broker_holds_publishers_back(
    broker: EmbeddedBroker, clock: HandClock
) -> None:
    async with joining(broker, clock, "a") as a, joining(broker, clock, "b") as b:
        broker.hold_publishes()
        await clock.advance(5 * SILENT_SECONDS)
        assert ids(a.live()) == ids(b.live()) == ["a", "b"]
        broker.release_publishes()
        await clock.advance(2 * SILENT_SECONDS)
        assert ids(a.live()) == ids(b.live()) == ["a", "b"]


async def test_changes_begin_with_what_is_and_follow_what_happens(
    broker: EmbeddedBroker, clock: HandClock
) -> None:
    async with joining(broker, clock, "a") as a:
        changes = a.changes()
        assert ids(await anext(changes)) == ["a"]
        async with joining(broker, clock, "b"):
            assert ids(await anext(changes)) == ["a", "b"]
        assert ids(await anext(changes)) == ["a"]


async def test_changes_that_nobody_took_are_joined(
    broker: EmbeddedBroker, clock: HandClock
) -> None:
    async with joining(broker, clock, "a") as a:
        changes = a.changes()
        await anext(changes)
        async with joining(broker, clock, "b"), joining(broker, clock, "c"):
            assert ids(await anext(changes)) == ["a", "b", "c"]


async def test_no_change_is_told_of_while_nothing_changes(
    broker: EmbeddedBroker, clock: HandClock
) -> None:
    async with joining(broker, clock, "a") as a, joining(broker, clock, "b"):
        changes = a.changes()
        await anext(changes)
        waiting = asyncio.ensure_future(anext(changes))
        await clock.advance(3 * SILENT_SECONDS)
        assert not waiting.done()
        waiting.cancel()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\n",
        b'{"kind":"presence","channel":"chat"}',
        b'{"kind":"alive"}',
        b'{"kind":"alive","node":{"id":7}}',
        b"[" * 2000,
        b'{"kind":"left","id":"b"}' + b" " * MESSAGE_BYTES_AT_MOST,
    ],
)
async def test_other_messages_change_nothing_and_are_passed_on(
    broker: EmbeddedBroker, clock: HandClock, body: bytes
) -> None:
    passed_on: list[bytes] = []
    async with (
        joining(broker, clock, "b"),
        broker.open("a") as access,
        open_registry(
            access.bus, describe(access), clock=clock, pass_on=passed_on.append
        ) as registry,
    ):
        await clock.advance(1)
        await access.bus.broadcast(body)
        await turns()
        assert ids(registry.live()) == ["a", "b"]
        assert passed_on == [body]


async def test_fields_of_a_later_version_are_passed_over(
    broker: EmbeddedBroker, clock: HandClock
) -> None:
    async with joining(broker, clock, "a") as a, broker.open() as other:
        await other.bus.broadcast(
            b'{"kind":"alive","new":1,"node":{"id":"z","role":"front","name":"z",'
            b'"lanes":["main"],"started_seconds":1.5,"new":[]}}'
        )
        await turns()
        assert a.live()[-1] == Node("z", "front", "z", ("main",), 1.5)


async def test_more_nodes_than_the_bound_are_not_seen(
    broker: EmbeddedBroker, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.registry.NODES_AT_MOST", 3)
    async with (
        joining(broker, clock, "a") as a,
        joining(broker, clock, "b"),
        joining(broker, clock, "c"),
        joining(broker, clock, "d"),
    ):
        assert ids(a.live()) == ["a", "b", "c"]


async def test_a_node_too_long_to_announce_is_refused(
    broker: EmbeddedBroker, clock: HandClock
) -> None:
    async with broker.open() as access:
        node = Node(access.node_id, "front", "x" * MESSAGE_BYTES_AT_MOST, (), 0.0)
        with pytest.raises(ValueError, match="takes more than"):
            async with open_registry(access.bus, node, clock=clock):
                pass


class HandBus:
    """A bus on which the test says what is heard, and when listening fails."""

    def __init__(self) -> None:
        self._heard: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.said: list[bytes] = []

    async def broadcast(self, body: bytes) -> None:
        self.said.append(body)

    async def send(self, node_id: str, body: bytes) -> None:
        raise AssertionError("a registry sends to nobody in particular")

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[bytes]]:
        yield self._bodies()

    async def hear(self, body: bytes) -> None:
        self._heard.put_nowait(body)
        await turns()

    async def fail(self) -> None:
        self._heard.put_nowait(None)
        await turns()

    async def _bodies(self) -> AsyncIterator[bytes]:
        while (body := await self._heard.get()) is not None:
            yield body
        raise BrokerUnavailable("lost")


OTHER = (
    b'{"kind":"alive","node":{"id":"z","role":"front","name":"z","lanes":[],"started_seconds":0}}'
)


async def test_who_hears_itself_again_gives_the_others_time_to_be_heard(clock: HandClock) -> None:
    bus = HandBus()
    async with open_registry(bus, Node("a", "front", "a", (), 0.0), clock=clock) as registry:
        await turns()
        await clock.advance(2 * _STEP_SECONDS)
        await bus.hear(OTHER)
        await bus.hear(bus.said[0])
        await clock.advance(2 * SILENT_SECONDS)
        await bus.hear(bus.said[0])
        await clock.advance(ANNOUNCE_SECONDS)
        assert ids(registry.live()) == ["a", "z"]
        for _ in range(3):
            await bus.hear(bus.said[0])
            await clock.advance(ANNOUNCE_SECONDS)
        assert ids(registry.live()) == ["a"]


async def test_who_listens_again_gives_the_others_time_to_be_heard(clock: HandClock) -> None:
    bus = HandBus()
    async with open_registry(bus, Node("a", "front", "a", (), 0.0), clock=clock) as registry:
        await turns()
        await clock.advance(2 * _STEP_SECONDS)
        await bus.hear(OTHER)
        for _ in range(3):
            await bus.hear(bus.said[0])
            await clock.advance(ANNOUNCE_SECONDS - _STEP_SECONDS)
        await bus.fail()
        await clock.advance(ANNOUNCE_SECONDS)
        await bus.hear(bus.said[0])
        await clock.advance(2 * _STEP_SECONDS)
        assert ids(registry.live()) == ["a", "z"]


class FailingBus:
    """A bus that cannot be listened to; counts how often that is tried."""

    def __init__(self) -> None:
        self.attempts = 0

    async def broadcast(self, body: bytes) -> None:
        raise BrokerUnavailable("away")

    async def send(self, node_id: str, body: bytes) -> None:
        raise BrokerUnavailable("away")

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        self.attempts += 1
        raise BrokerUnavailable("away")


async def test_listening_is_tried_again_less_and_less_often(clock: HandClock) -> None:
    bus = FailingBus()
    node = Node("a", "front", "a", (), 0.0)
    async with open_registry(bus, node, clock=clock, jitter=lambda: 1.0):
        await clock.advance(2)
        after_two_seconds = bus.attempts
        await clock.advance(100)
        assert 3 <= after_two_seconds <= 8
        assert 15 <= bus.attempts - after_two_seconds <= 25


async def test_a_registry_that_runs_in_real_time_leaves_nothing_behind() -> None:
    broker = EmbeddedBroker({"main": 1}, limits=EmbeddedLimits(bus_max_bytes=10_000))
    async with (
        broker.open("a") as one,
        broker.open("b") as another,
        open_registry(one.bus, describe(one)) as a,
    ):
        async with open_registry(another.bus, describe(another)), asyncio.timeout(5):
            async for nodes in a.changes():
                if ids(nodes) == ["a", "b"]:
                    break
        async with asyncio.timeout(5):
            async for nodes in a.changes():
                if ids(nodes) == ["a"]:
                    break


# ---- a process in another state


def quick(access: EmbeddedAccess) -> Node:
    return replace(describe(access, "worker"), silent_seconds=SILENT_SECONDS / 2)


@asynccontextmanager
async def joining_quickly(
    broker: EmbeddedBroker, clock: HandClock, node_id: str
) -> AsyncIterator[Registry]:
    async with (
        broker.open(node_id) as access,
        open_registry(access.bus, quick(access), clock=clock, jitter=lambda: 0.5) as made,
    ):
        await turns()
        await clock.advance(2 * _STEP_SECONDS)
        yield made


async def test_a_process_in_another_state_is_known_so_within_a_tick(
    broker: EmbeddedBroker, clock: HandClock
) -> None:
    async with joining(broker, clock, "a") as a, joining(broker, clock, "b") as b:
        a.update(replace(a.node, standing=7))
        assert [node.standing for node in a.live()] == [7, 0]
        await clock.advance(2 * _STEP_SECONDS)
        assert [node.standing for node in b.live()] == [7, 0]


async def test_a_process_in_another_state_is_a_change(
    broker: EmbeddedBroker, clock: HandClock
) -> None:
    async with joining(broker, clock, "a") as a:
        changes = a.changes()
        await anext(changes)
        a.update(replace(a.node, standing=1))
        assert [node.standing for node in await anext(changes)] == [1]


async def test_a_state_that_is_too_long_to_be_told_is_none(
    broker: EmbeddedBroker, clock: HandClock
) -> None:
    async with joining(broker, clock, "a") as a:
        with pytest.raises(ValueError, match="announcing"):
            a.update(replace(a.node, name="n" * MESSAGE_BYTES_AT_MOST))
        assert a.node.name == "front a"


async def test_who_announces_itself_more_often_is_missed_sooner_by_its_like(
    broker: EmbeddedBroker, clock: HandClock
) -> None:
    async with joining_quickly(broker, clock, "a") as a, joining_quickly(broker, clock, "b"):
        broker.disconnect("b")
        await clock.advance(SILENT_SECONDS / 2 + 2 * _STEP_SECONDS)
        assert ids(a.live()) == ["a"]


async def test_who_announces_itself_seldom_is_waited_for_by_the_quick(
    broker: EmbeddedBroker, clock: HandClock
) -> None:
    async with joining_quickly(broker, clock, "a") as a, joining(broker, clock, "b"):
        await clock.advance(5 * SILENT_SECONDS)
        assert ids(a.live()) == ["a", "b"]
        broker.disconnect("b")
        await is_missed_in_time(clock, a)


async def test_who_announces_itself_seldom_judges_the_quick_by_its_own_measure(
    broker: EmbeddedBroker, clock: HandClock
) -> None:
    async with joining(broker, clock, "a") as a, joining_quickly(broker, clock, "b"):
        broker.disconnect("b")
        await is_missed_in_time(clock, a)


@pytest.mark.parametrize("silent_seconds", [0.0, -1.0, 1e300])
async def test_what_a_process_says_of_its_silence_is_bounded(
    broker: EmbeddedBroker, clock: HandClock, silent_seconds: float
) -> None:
    async with joining_quickly(broker, clock, "a") as a, broker.open("liar") as liar:
        lying = replace(describe(liar, "worker"), silent_seconds=silent_seconds)
        await liar.bus.broadcast(msgspec.json.encode({"kind": "alive", "node": lying}))
        await clock.advance(2 * _STEP_SECONDS)
        assert ids(a.live()) == ["a", "liar"]
        await clock.advance(61.0)
        assert ids(a.live()) == ["a"]


async def test_who_was_not_heard_when_it_should_have_been_is_overdue_before_it_is_gone(
    broker: EmbeddedBroker, clock: HandClock
) -> None:
    async with joining(broker, clock, "a") as a, joining_quickly(broker, clock, "b"):
        await clock.advance(5 * SILENT_SECONDS)
        assert a.overdue() == set()
        broker.disconnect("b")
        await clock.advance(SILENT_SECONDS / 2)
        assert ids(a.live()) == ["a", "b"]
        assert a.overdue() == {"b"}


async def test_nobody_is_overdue_to_who_hears_nothing(
    broker: EmbeddedBroker, clock: HandClock
) -> None:
    async with joining(broker, clock, "a") as a, joining_quickly(broker, clock, "b"):
        broker.disconnect("a")
        await clock.advance(2 * SILENT_SECONDS)
        assert ids(a.live()) == ["a", "b"]
        assert a.overdue() == set()
