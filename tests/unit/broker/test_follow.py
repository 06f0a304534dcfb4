"""Reading a stream on, over whatever happens to it, without a gap and without a repetition."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

import pytest
from structlog.testing import capture_logs

from broker.embedded import EmbeddedAccess, EmbeddedBroker, EmbeddedLimits
from broker.errors import BrokerUnavailable, TopologyProblem
from broker.follow import (
    ContinuityLost,
    Known,
    Loss,
    Prompt,
    follow,
    read_to_end,
    record_digest,
    verify,
)
from broker.interface import Position, Since, StoredRecord
from broker.partition import Partition

MAIN = Partition("main", 0)
WAIT_SECONDS = 5.0
BODIES = [b"record %d" % number for number in range(20)]

Following = AsyncGenerator[Sequence[StoredRecord], None]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who begins again does so at once: what is tested is not how long that takes."""
    monkeypatch.setattr("random.uniform", lambda _least, _most: 0.001)


@pytest.fixture
def node() -> EmbeddedBroker:
    return EmbeddedBroker({"main": 1})


@pytest.fixture
async def broker(node: EmbeddedBroker) -> AsyncIterator[EmbeddedAccess]:
    async with node.open("reader") as broker:
        yield broker


async def append(node: EmbeddedBroker, bodies: Sequence[bytes]) -> None:
    async with node.open("writer") as writer:
        for body in bodies:
            await writer.log(MAIN).append(body, entries=1)


def kept(node: EmbeddedBroker) -> list[StoredRecord]:
    return [record.stored for record in node.kept(MAIN)]


def known_at(node: EmbeddedBroker, index: int) -> Known:
    record = kept(node)[index]
    return Known(record.position, record_digest(record.body))


@asynccontextmanager
async def following(
    broker: EmbeddedAccess, start: Position | Since = 0, known: Known | None = None
) -> AsyncIterator[Following]:
    async with aclosing(follow(broker.log(MAIN), start, known)) as records:
        yield records


async def read(records: Following, last: bytes) -> list[StoredRecord]:
    """Read until the record with this body."""
    given: list[StoredRecord] = []
    async with asyncio.timeout(WAIT_SECONDS):
        async for batch in records:
            given.extend(batch)
            if any(record.body == last for record in batch):
                break
    return given


async def loss(records: Following) -> ContinuityLost:
    """Read until continuity is lost."""
    async with asyncio.timeout(WAIT_SECONDS):
        with pytest.raises(ContinuityLost) as lost:
            async for _ in records:
                pass
    return lost.value


# ---- reading on


async def test_a_reader_gets_all_from_where_it_starts(
    node: EmbeddedBroker, broker: EmbeddedAccess
) -> None:
    await append(node, BODIES)
    async with following(broker, kept(node)[3].position) as records:
        assert await read(records, BODIES[-1]) == kept(node)[3:]


async def test_who_resumes_gets_what_comes_after_the_known_record(
    node: EmbeddedBroker, broker: EmbeddedAccess
) -> None:
    await append(node, BODIES)
    async with following(broker, known=known_at(node, 5)) as records:
        assert await read(records, BODIES[-1]) == kept(node)[6:]


async def test_who_resumes_at_the_end_hears_that_its_record_was_found(
    node: EmbeddedBroker, broker: EmbeddedAccess
) -> None:
    await append(node, BODIES)
    async with following(broker, known=known_at(node, -1)) as records:
        assert list(await anext(records)) == []
        await append(node, [b"more"])
        assert [record.body for record in await read(records, b"more")] == [b"more"]


async def test_a_lost_connection_costs_no_record_and_repeats_none(
    node: EmbeddedBroker, broker: EmbeddedAccess
) -> None:
    async with following(broker) as records:
        given = []
        for first in range(0, 20, 4):
            await append(node, BODIES[first : first + 4])
            given += await read(records, BODIES[first + 3])
            node.disconnect("reader")
            await append(node, [b"while away %d" % first])
            node.reconnect("reader")
        given += await read(records, b"while away 16")
    assert given == kept(node)


async def test_a_reader_that_has_read_nothing_yet_starts_anew_after_a_lost_connection(
    node: EmbeddedBroker, broker: EmbeddedAccess
) -> None:
    beyond = kept(node)[-1].position + 2
    async with following(broker, beyond) as records:
        reading = asyncio.ensure_future(read(records, BODIES[-1]))
        await asyncio.sleep(0)
        node.disconnect("reader")
        await append(node, BODIES)
        node.reconnect("reader")
        assert await reading == [record for record in kept(node) if record.position >= beyond]


async def test_a_reader_that_hears_nothing_for_too_long_opens_anew(
    node: EmbeddedBroker, broker: EmbeddedAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.follow.STALL_SECONDS", 0.02)
    async with following(broker) as records, asyncio.timeout(WAIT_SECONDS):
        assert list(await anext(records)) == kept(node)
        assert list(await anext(records)) == []
        await append(node, BODIES)
        assert await read(records, BODIES[-1]) == kept(node)[1:]


async def test_a_reader_that_went_deaf_goes_on_where_it_was_when_it_is_told_to(
    node: EmbeddedBroker, broker: EmbeddedAccess
) -> None:
    prompt = Prompt()
    async with (
        aclosing(follow(broker.log(MAIN), 0, prompt=prompt)) as records,
        asyncio.timeout(WAIT_SECONDS),
    ):
        assert list(await anext(records)) == kept(node)
        reading = asyncio.ensure_future(read(records, BODIES[1]))
        await asyncio.sleep(0)
        node.deafen("reader")
        await append(node, BODIES[:2])
        prompt.reopen()
        prompt.reopen()  # once is enough, more do no harm
        assert await reading == kept(node)[1:]


async def test_a_reader_that_is_not_waiting_needs_no_reopening(
    node: EmbeddedBroker, broker: EmbeddedAccess
) -> None:
    prompt = Prompt()
    prompt.reopen()
    async with aclosing(follow(broker.log(MAIN), 0, prompt=prompt)) as records:
        assert list(await anext(records)) == kept(node)
        prompt.reopen()
        await append(node, BODIES[:1])
        assert list(await anext(records)) == kept(node)[1:]


# ---- what cannot be read on


async def test_who_resumes_after_retention_has_been_overtaken() -> None:
    node = EmbeddedBroker({"main": 1}, limits=EmbeddedLimits(log_max_bytes=1000))
    await append(node, BODIES[:3])
    known = known_at(node, -1)
    await append(node, [bytes(100)] * 20)
    async with node.open("reader") as broker, following(broker, known=known) as records:
        lost = await loss(records)
        assert lost.loss is Loss.OVERTAKEN
        assert str(known.position) in str(lost)


async def test_a_reader_that_was_away_for_too_long_has_been_overtaken() -> None:
    node = EmbeddedBroker({"main": 1}, limits=EmbeddedLimits(log_max_bytes=1000))
    async with node.open("reader") as broker, following(broker) as records:
        await read(records, kept(node)[0].body)
        node.disconnect("reader")
        await append(node, [bytes(100)] * 20)
        node.reconnect("reader")
        assert (await loss(records)).loss is Loss.OVERTAKEN


async def test_a_log_made_anew_that_grew_past_the_known_record_is_rewritten(
    node: EmbeddedBroker, broker: EmbeddedAccess
) -> None:
    await append(node, BODIES)
    async with following(broker, known=known_at(node, 5)) as records:
        await read(records, BODIES[-1])
        node.disconnect("reader")
        node.recreate_log(MAIN)
        await append(node, [b"other " + body for body in BODIES] * 2)
        node.reconnect("reader")
        assert (await loss(records)).loss is Loss.REWRITTEN


async def test_a_log_that_lost_its_tail_and_grew_again_is_rewritten(
    node: EmbeddedBroker, broker: EmbeddedAccess
) -> None:
    await append(node, BODIES)
    async with following(broker) as records:
        await read(records, BODIES[-1])
        node.disconnect("reader")
        node.lose_tail(MAIN, 3)
        await append(node, [b"other"] * 3)
        node.reconnect("reader")
        assert (await loss(records)).loss is Loss.REWRITTEN


async def test_silence_beyond_the_end_is_found_out(
    node: EmbeddedBroker, broker: EmbeddedAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.follow.RESUME_SECONDS", 0.05)
    monkeypatch.setattr("broker.follow.LAGGING_SECONDS", 0.2)
    await append(node, BODIES)
    async with following(broker) as records:
        await read(records, BODIES[-1])
        node.lose_tail(MAIN, 3)
        assert (await loss(records)).loss is Loss.REWRITTEN


async def test_a_reader_far_beyond_the_end_of_a_new_log_finds_that_out(
    node: EmbeddedBroker, broker: EmbeddedAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.follow.RESUME_SECONDS", 0.05)
    monkeypatch.setattr("broker.follow.LAGGING_SECONDS", 0.2)
    await append(node, BODIES)
    known = known_at(node, -1)
    node.recreate_log(MAIN)
    async with following(broker, known=known) as records:
        assert (await loss(records)).loss is Loss.REWRITTEN


async def test_a_log_that_was_read_and_is_gone_is_waited_for_and_is_another_then(
    node: EmbeddedBroker, broker: EmbeddedAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.follow.RESUME_SECONDS", 0.05)
    await append(node, BODIES)
    async with following(broker) as records, asyncio.TaskGroup() as tasks:
        await read(records, BODIES[-1])
        losing = tasks.create_task(loss(records))
        await see_it_gone(node)
        assert not losing.done()
        # Shorter than what was read, and nobody's patience with a replica that lags is asked for.
        node.recreate_log(MAIN)
        assert (await losing).loss is Loss.REWRITTEN


async def test_a_log_that_could_not_be_opened_for_a_while_and_is_the_same_is_read_on(
    node: EmbeddedBroker, broker: EmbeddedAccess
) -> None:
    await append(node, BODIES)
    before = kept(node)
    async with following(broker, known=known_at(node, 5)) as records:
        await read(records, BODIES[-1])
        reading = asyncio.ensure_future(read(records, b"more"))
        await see_it_gone(node)
        node.recreate_log(MAIN)
        node.lose_tail(MAIN, 1)
        async with node.open("writer") as writer:
            for record in before:
                await writer.log(MAIN).append(record.body, entries=1)
        await append(node, [b"more"])
        assert [record.body for record in await reading] == [b"more"]


async def see_it_gone(node: EmbeddedBroker) -> None:
    """Delete the log, and wait until its reader has seen that."""
    with capture_logs() as logs:
        node.delete_log(MAIN)
        async with asyncio.timeout(WAIT_SECONDS):
            while not any(line["event"] == "a stream is gone" for line in logs):  # noqa: ASYNC110
                await asyncio.sleep(0)


async def test_a_reader_of_a_missing_log_is_told_so(broker: EmbeddedAccess) -> None:
    missing = broker.log(Partition("main", 7))
    with pytest.raises(TopologyProblem):
        await anext(follow(missing, 0))


# ---- verifying


async def test_a_kept_record_is_verified(node: EmbeddedBroker, broker: EmbeddedAccess) -> None:
    await append(node, BODIES)
    await verify(broker.log(MAIN), known_at(node, 5))
    await verify(broker.log(MAIN), known_at(node, -1))


async def test_another_record_in_its_place_is_not_verified(
    node: EmbeddedBroker, broker: EmbeddedAccess
) -> None:
    await append(node, BODIES)
    known = Known(kept(node)[5].position, record_digest(b"another"))
    with pytest.raises(ContinuityLost) as lost:
        await verify(broker.log(MAIN), known)
    assert lost.value.loss is Loss.REWRITTEN


# ---- reading what is there


async def test_reading_to_the_end_gives_all_and_ends(
    node: EmbeddedBroker, broker: EmbeddedAccess
) -> None:
    await append(node, BODIES * 60)
    async with asyncio.timeout(WAIT_SECONDS):
        assert [record async for record in read_to_end(broker.log(MAIN))] == kept(node)


async def test_reading_to_the_end_of_nothing_says_so(
    node: EmbeddedBroker, broker: EmbeddedAccess
) -> None:
    node.lose_tail(MAIN, 1)
    with pytest.raises(BrokerUnavailable):
        await anext(read_to_end(broker.log(MAIN)))


async def test_reading_to_the_end_fails_when_the_connection_is_lost(
    node: EmbeddedBroker, broker: EmbeddedAccess
) -> None:
    await append(node, BODIES * 60)  # more than one reading gives
    reading = read_to_end(broker.log(MAIN))
    given = [await anext(reading)]
    node.disconnect("reader")

    async def read_on() -> None:
        given.extend([record async for record in reading])

    with pytest.raises(BrokerUnavailable):
        await read_on()
    assert len(given) < len(kept(node))


async def test_reading_to_an_end_that_is_gone_gives_up(
    node: EmbeddedBroker, broker: EmbeddedAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.follow.SILENCE_SECONDS", 0.05)
    await append(node, BODIES)
    end = kept(node)[-1].position
    node.lose_tail(MAIN, 1)
    with pytest.raises(BrokerUnavailable):
        _ = [record async for record in read_to_end(broker.log(MAIN), 0, end)]
