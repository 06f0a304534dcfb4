"""What follows from a record, as it arrives where it is for."""

import asyncio

from broker.batch import NO_SENDER, EntryKind, decode_batch
from broker.embedded import EmbeddedBroker
from broker.interface import StoredRecord
from broker.record import NextEntry, Settled, decode_record, encode_settled
from services.worker.counting import WorkerCounters
from services.worker.following_up import FollowingUp
from services.worker.sequels import Sequels
from tests.unit.view.writing import MAIN


async def test_of_what_follows_nobody_hears_what_becomes_and_it_is_numbered_by_the_log() -> None:
    following = [NextEntry(EntryKind.PUBLISH, "c", NO_SENDER, 1, MAIN.lane, MAIN.number)] * 2
    stored = StoredRecord(41, encode_settled(40, 0, [], [], following, [b"1", b"2"]))
    settled = decode_record(stored.body)
    assert isinstance(settled, Settled)
    sequels, has_followed = Sequels(left_bytes_at_most=0), asyncio.Event()
    sequels.take(stored, "e", settled)
    node = EmbeddedBroker({"main": 1})
    async with node.open("worker") as broker:
        counters = WorkerCounters()
        following_up = FollowingUp(broker, MAIN, sequels, counters, has_followed.set)
        running = asyncio.ensure_future(following_up.run())
        await has_followed.wait()
        running.cancel()
        await asyncio.wait([running])
    (waiting,) = node.waiting(MAIN)
    batch = decode_batch(waiting.body)
    # Or what another worker refuses, with other settings, would be gone without a word.
    assert batch.is_unheard
    assert (batch.producer, batch.number) == ("main.0.e", 42)
    assert [entry.payload for entry in batch.entries] == [b"1", b"2"]
    assert sequels.followed == 41
