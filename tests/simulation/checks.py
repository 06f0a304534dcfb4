"""What must hold of a world at rest, from what its senders, readers and subscribers were told.

Rules: nothing here asks the product's code what a log means; `truth` says.
"""

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

from broker.batch import decode_batch
from broker.interface import StoredRecord
from broker.partition import Partition
from broker.record import decode_record
from services.view.partition import PartitionView
from tests.simulation.clients import Event, Note, Subscriber
from tests.simulation.handlers import BESIDES, is_followed, name_of
from tests.simulation.truth import Told, Truth, read_truth
from tests.simulation.world import WITHIN_POSITIONS, Violation, World

if TYPE_CHECKING:
    from tests.simulation.processes import Run

_WITHIN_POSITIONS = 1_000


class Checks:
    """A world's checks."""

    def __init__(self, world: World) -> None:
        self._world = world
        within = WITHIN_POSITIONS if world.traits.are_limits_small else _WITHIN_POSITIONS
        self._within = within
        self._truths: dict[Partition, list[Truth]] = {
            partition: [read_truth(generation, within) for generation in archive.generations]
            for partition, archive in world.archives.items()
        }

    def all_hold(self) -> None:
        """Check everything.

        Raises:
            Violation: something does not hold.
        """
        if self._world.violations:
            raise Violation(self._world.violations[0])
        for partition, truths in self._truths.items():
            self._entries_are_settled_once(partition, truths)
            self._offsets_have_no_gap(truths[-1])
            if self._world.traits.is_order_kept:
                self._senders_are_in_order(truths)
            generation = self._world.archives[partition].generations[-1]
            self._whoever_begins_in_the_middle_agrees(truths[-1], generation)
        if not self._world.traits.is_log_lost:
            self._what_follows_is_once()
        self._readers_agree()
        self._nobody_is_alarmed_without_need()
        for subscriber in self._world.subscribers:
            self._nothing_is_missed(subscriber)

    # ---- senders

    def _entries_are_settled_once(self, partition: Partition, truths: Sequence[Truth]) -> None:
        final = truths[-1]
        places = [(each.producer, each.number, each.place) for each in final.told]
        if len(places) != len(set(places)):
            twice = next(place for place in places if places.count(place) > 1)
            raise Violation(f"{twice} has two outcomes that count")
        published = [each.payload for each in final.told if each.kind == 0]
        found = set(published)
        if len(published) != len(found):
            twice_seen = next(one for one in published if published.count(one) > 1)
            raise Violation(f"{twice_seen!r} was published twice")
        lost = {each.payload for truth in truths[:-1] for each in truth.told} - found
        for note in self._world.journal.notes:
            if note.partition == partition:
                self._sender_was_told_the_truth(note, found, lost)

    def _sender_was_told_the_truth(self, note: Note, found: set[bytes], lost: set[bytes]) -> None:
        payload = note.entry.payload
        if payload in found:
            if note.is_refused or not note.is_valid:
                raise Violation(f"{payload!r} was refused, and published all the same")
            return
        if payload in lost or payload in self._world.journal.turned_down:
            return
        if note.is_valid and (note.is_confirmed or note.outcome is not None):
            raise Violation(f"{payload!r} was acknowledged and is lost")
        if self._world.traits.is_log_lost:
            # A dead letter follows from a record, which may be among what was lost.
            return
        is_told_late = note.entry.channel.startswith("queued:") and note.is_confirmed
        if not note.is_valid and is_told_late and payload not in self._set_aside():
            raise Violation(f"{payload!r} was refused after its answer and not set aside")

    def _what_follows_is_once(self) -> None:
        told = [each for truths in self._truths.values() for each in truths[-1].told]
        besides = [name_of(each.payload) for each in told if each.channel == BESIDES]
        if len(besides) != len(set(besides)):
            twice = next(one for one in besides if besides.count(one) > 1)
            raise Violation(f"what follows from {twice!r} was published twice")
        published = {each.payload for each in told if is_followed(each)}
        if published.symmetric_difference(besides) and self._world.traits.has_handlers:
            raise Violation(f"without what follows, or it without: {published ^ set(besides)}")

    def _set_aside(self) -> set[bytes]:
        return {
            entry.payload
            for letter in self._world.node.dead_letters()
            for entry in decode_batch(letter.body).entries
        }

    def _offsets_have_no_gap(self, truth: Truth) -> None:
        last: dict[tuple[str, str], int] = {}
        for each in truth.told:
            if each.kind == 0 and each.offset:
                life = each.channel, each.epoch
                if each.offset != last.get(life, 0) + 1:
                    raise Violation(f"{life} goes on with {each.offset} after {last.get(life)}")
                last[life] = each.offset

    def _senders_are_in_order(self, truths: Sequence[Truth]) -> None:
        final = truths[-1].told
        lost = {each.payload for truth in truths[:-1] for each in set(truth.told) - set(final)}
        offered = {
            note.entry.payload: (index, note)
            for index, note in enumerate(self._world.journal.notes)
        }
        last: dict[tuple[str, str], int] = {}
        for each in final:
            if each.kind == 0 and each.channel != BESIDES:
                index, note = offered[each.payload]
                if each.payload in lost or (note.is_given_up and self._world.traits.is_pool_small):
                    # To a log that has forgotten it, a late copy of it is another entry. And what
                    # a full pool refused when it was sent again may have an earlier copy.
                    continue
                key = note.producer, each.channel
                if index < last.get(key, -1):
                    raise Violation(f"{each.payload!r} of {key} is out of order")
                last[key] = index

    # ---- readers

    def _readers_agree(self) -> None:
        last: dict[str, Run] = {}
        for run in self._world.journal.runs:
            last[run.reader] = run
            if run.counted and not any(
                _is_slice(run, truth) for truth in self._truths[run.partition]
            ):
                raise Violation(f"{run.reader} read what is not so, or left something out unsaid")
        for reader in self._world.readers:
            run, truth = last[reader.name], self._truths[reader.partition][-1]
            if run.counted and run.counted[-1] != truth.counted[-1]:
                raise Violation(f"{reader.name} does not know the last record")
        self._views_agree()

    def _whoever_begins_in_the_middle_agrees(self, truth: Truth, all_: list[StoredRecord]) -> None:
        """A reader is given the log from anywhere; what it cannot judge yet it leaves out."""
        random = Random(f"{self._world.seed} beginnings")
        others = [at for at, each in enumerate(all_) if each not in truth.counted]
        for first in random.choices(range(len(all_)), k=4) + random.choices(others, k=4):
            view = PartitionView(int(self._world.config.channel.history_meta_ttl))
            counted = [
                stored
                for stored in all_[first:]
                if view.fold(stored.position, decode_record(stored.body)).settled is not None
            ]
            if counted != truth.counted[len(truth.counted) - len(counted) :]:
                raise Violation(f"who begins at {all_[first].position} reads what is not so")
            early = all_[first].position + self._within
            if [each for each in truth.counted if each.position > early] != [
                each for each in counted if each.position > early
            ]:
                raise Violation(f"who begins at {all_[first].position} leaves something out")

    def _views_agree(self) -> None:
        world = self._world
        for partition, truths in self._truths.items():
            readers = [one.reader for one in world.readers if one.partition == partition]
            for front in world.fronts:
                readers += [one for one in front.view.readers if one.partition == partition]
            for reader in readers:
                if reader.view.ledger.epoch != truths[-1].epoch:
                    raise Violation(f"a reader of {partition.name} is in another epoch")

    def _nobody_is_alarmed_without_need(self) -> None:
        traits = self._world.traits
        if traits.is_log_lost or traits.is_log_short:
            return
        for run in self._world.journal.runs:
            if run.is_told_lost:
                raise Violation(f"{run.reader} was told of a loss that there was not")
        for subscriber in self._world.subscribers:
            if any(event.kind == "lost" for event in subscriber.events):
                raise Violation(f"{subscriber.name} was told of a loss that there was not")

    # ---- subscribers

    def _nothing_is_missed(self, subscriber: Subscriber) -> None:
        partition = self._partition_of(subscriber.channel)
        histories = [
            [each for each in truth.told if each.kind == 0 and each.channel == subscriber.channel]
            for truth in self._truths[partition]
        ]
        is_lost = self._world.traits.is_log_lost
        stays = _stays(subscriber.events, is_cut_by_recovery=is_lost)
        if not self._is_loss_known_to_nobody(partition):
            # What comes after the last signal has to be whole, whatever was lost before.
            stays += _stays(subscriber.events, is_cut_by_recovery=False)[-1:]
        for stay in stays:
            if not any(_is_continuous(stay, history) for history in histories):
                raise Violation(f"{subscriber.name} was not told that it missed something: {stay}")
        self._all_is_known_at_last(subscriber, histories[-1])

    def _is_loss_known_to_nobody(self, partition: Partition) -> bool:
        """Whether a tail is lost, and all who had read it died before the epoch was ended.

        Then nothing tells the log from one that never had the tail, and a subscriber that has seen
        it learns of nothing once the log has grown past it again. A front that has read the tail
        and lives must have seen to it that the epoch ends.
        """
        live = {front.name for front in self._world.fronts}
        return any(
            loss.epoch == self._truths[partition][-1].epoch and not loss.witnesses & live
            for loss in self._world.journal.losses
            if loss.partition == partition
        )

    def _all_is_known_at_last(self, subscriber: Subscriber, history: list[Told]) -> None:
        if not subscriber.events or not history:
            return
        last, newest = subscriber.events[-1], history[-1]
        if last.kind == "lost":
            raise Violation(f"{subscriber.name} has not come back")
        # A channel that was forgotten, or that a new epoch began without, is at offset 0.
        position = subscriber.epoch, subscriber.offset
        if position != (newest.epoch, newest.offset) and subscriber.offset:
            raise Violation(f"{subscriber.name} has not got {newest.payload!r}")

    def _partition_of(self, channel: str) -> Partition:
        return self._world.fronts[0].view.partition_of(channel)


def _is_slice(run: "Run", truth: Truth) -> bool:
    """Whether a run is what a log says, from some record to another, and nothing else."""
    try:
        first = truth.counted.index(run.counted[0])
    except ValueError:
        return False
    return truth.counted[first : first + len(run.counted)] == run.counted


def _stays(events: list[Event], *, is_cut_by_recovery: bool) -> list[list[Event]]:
    """What a subscriber was told, cut where it was told that something may be missing.

    Each stay begins with a position. While a log has lost its tail and not yet been cut, a front
    that never read the tail takes the epoch for whole, and a subscriber that did for recovered; the
    cut that follows tells it. So there a recovery proves nothing, unless it is the last.
    """
    stays: list[list[Event]] = []
    for event in events:
        if event.kind in ("fresh", "unrecovered") or (
            event.kind == "recovered" and is_cut_by_recovery
        ):
            stays.append([event])
        elif event.kind == "publication":
            stays[-1].append(event)
    return stays


def _is_continuous(stay: list[Event], history: list[Told]) -> bool:
    """Whether the publications of a stay follow its position and each other, in a history."""
    start = stay[0]
    got = [event for event in stay if event.kind == "publication"]
    if not got:
        return True
    places = [at for at, each in enumerate(history) if each.payload == got[0].payload]
    if len(places) != 1:
        return False
    first = places[0]
    expected = history[first : first + len(got)]
    if [(e.payload, e.offset) for e in got] != [(e.payload, e.offset) for e in expected]:
        return False
    if not start.offset:
        return got[0].offset == 1
    before = history[first - 1] if first else None
    return before is not None and (before.epoch, before.offset) == (start.epoch, start.offset)
