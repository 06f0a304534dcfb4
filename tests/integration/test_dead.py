"""`forebay dead` as an operator uses it: on a real RabbitMQ, with real workers, and killed."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import aio_pika
import pytest
import pytest_asyncio

from broker.batch import NO_SENDER, Entry, EntryKind, encode_batch
from broker.errors import BrokerUnavailable, TopologyProblem
from broker.interface import Broker, DeadLetter, DeadReason, StoredRecord
from broker.local.files import VHOST
from broker.local.node import LocalNode
from broker.partition import Partition, partition_number
from broker.rabbitmq import RabbitSettings, apply_topology, open_rabbitmq
from broker.rabbitmq.users import apply_users
from services.view.ledger import SETTLED_WITHIN_POSITIONS
from tests.contract.nodes import wait_connected
from tests.simulation.truth import read_truth
from tests.system.process import ServerProcess

ROOT = Path(__file__).parents[2]
PASSWORD = "operator-1"
PARTITIONS = [Partition("main", number) for number in range(4)]
WAIT_SECONDS = 60.0

CONFIG = """
[rabbitmq]
prefix = "{prefix}"

[[namespace]]
name = "orders"
reply = "queued"
history_size = 10
history_ttl = "10m"
schema = "orders.json"
"""

# What the team forgot, and what it says after a look at its dead letters.
STRICT = {"type": "object", "properties": {"n": {"type": "string"}}}
MENDED = {"type": "object", "properties": {"n": {"type": "integer"}}}

CHANNELS = [f"orders:{number}" for number in range(20)]
LETTERS = 10_000
BATCH = 500


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Site:
    """A deployment with one worker, and an operator's command line."""

    def __init__(self, node: LocalNode, prefix: str, directory: Path) -> None:
        self.node = node
        self.prefix = prefix
        self._directory = directory
        self._operator_url = node.amqp_url_for("operator", PASSWORD)
        self._settings = {"FOREBAY_CONFIG": str(directory / "forebay.toml")}
        worker_settings = {**self._settings, "FOREBAY_RABBITMQ__URL": node.amqp_url}
        self.worker = ServerProcess("worker", "services.worker", worker_settings, directory)

    def use_schema(self, schema: Mapping[str, object]) -> None:
        (self._directory / "orders.json").write_text(json.dumps(schema))

    def settings_of(self, url: str) -> RabbitSettings:
        return RabbitSettings((url,), self.prefix, connection_name="test", is_pulsed=False)

    @property
    def as_operator(self) -> RabbitSettings:
        return self.settings_of(self._operator_url)

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("FOREBAY_")}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "forebay", "dead", *arguments, "--url", self._operator_url),
            cwd=ROOT,
            env={**inherited, **self._settings},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str, answer: str = "") -> Ran:
        process = await self.start(*arguments)
        async with asyncio.timeout(WAIT_SECONDS):
            out, err = await process.communicate(answer.encode())
        assert process.returncode is not None
        assert b"Traceback" not in err, err.decode()
        return Ran(process.returncode, out.decode(), err.decode())

    async def count_dead(self) -> int:
        """How many letters nobody holds."""
        async with (
            await aio_pika.connect(self.node.amqp_url) as connection,
            connection.channel() as channel,
        ):
            queue = await channel.declare_queue(f"{self.prefix}dead", passive=True)
            return queue.declaration_result.message_count or 0

    async def until_dead(self, count: int) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while await self.count_dead() != count:  # noqa: ASYNC110  (the queue tells nobody)
                await asyncio.sleep(0.1)


@pytest_asyncio.fixture
async def site(rabbit_node: LocalNode, rabbit_prefix: str, tmp_path: Path) -> AsyncIterator[Site]:
    await apply_topology((rabbit_node.amqp_url,), prefix=rabbit_prefix, lanes={"main": 4})
    management = rabbit_node.management_url.replace(
        "http://", f"http://{rabbit_node.admin_user}:{rabbit_node.admin_password}@"
    )
    apply_users(management, VHOST, rabbit_prefix, {"operator": PASSWORD})
    (tmp_path / "forebay.toml").write_text(CONFIG.format(prefix=rabbit_prefix))
    site = Site(rabbit_node, rabbit_prefix, tmp_path)
    site.use_schema(STRICT)
    try:
        yield site
    finally:
        site.worker.kill9()


@pytest_asyncio.fixture
async def broker(site: Site) -> AsyncIterator[Broker]:
    """The administrator's access."""
    async with open_rabbitmq(site.settings_of(site.node.amqp_url)) as broker:
        await wait_connected(broker)
        yield broker


def where(channel: str) -> Partition:
    return PARTITIONS[partition_number(channel, len(PARTITIONS))]


async def submit(broker: Broker, producer: str, entries: Sequence[Entry]) -> None:
    """Submit entries as a front would."""
    for partition in PARTITIONS:
        own = [entry for entry in entries if where(entry.channel) == partition]
        for number, start in enumerate(range(0, len(own), BATCH), 1):
            some = own[start : start + BATCH]
            body = encode_batch(producer, number, some)
            await broker.inbound(partition).submit(body, entries=len(some), message_id="")


class LogReading:
    """What the logs of all partitions say so far."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._records: dict[Partition, list[StoredRecord]] = {each: [] for each in PARTITIONS}
        self._news = asyncio.Event()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for partition in PARTITIONS:
                tasks.create_task(self._read(partition))

    async def _read(self, partition: Partition) -> None:
        async with self._broker.log(partition).read(0) as reader:
            async for records in reader:
                self._records[partition] += records
                self._news.set()

    def published(self) -> list[tuple[str, bytes]]:
        """Channel and payload of all publications: in the order of the log, per channel."""
        return [
            (told.channel, told.payload)
            for records in self._records.values()
            for told in read_truth(records, SETTLED_WITHIN_POSITIONS).told
            if told.kind == 0
        ]

    async def until_published(self, count: int) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.published()) < count:
                self._news.clear()
                await self._news.wait()


# ---- what a person does


def letter(number: int, **fields: object) -> DeadLetter:
    entry = Entry(EntryKind.PUBLISH, CHANNELS[0], NO_SENDER, b'{"n":%d}' % number)
    place = f"0a.{where(CHANNELS[0]).name}/{number}/0"
    made = DeadLetter(
        encode_batch("front", 1, [entry]), DeadReason.REFUSED, "107 n", CHANNELS[0], 0, place
    )
    return made._replace(**fields)  # type: ignore[arg-type]


BROKEN = DeadLetter(b"\x1b[31m", DeadReason.UNDECODABLE, "no batch")


@pytest.mark.timeout(60)
async def test_an_operator_looks_at_letters_and_drops_some(site: Site, broker: Broker) -> None:
    assert (await site.run("list")).out == "There are no such dead letters.\n"
    old = letter(1, set_aside_seconds=1_700_000_000)
    failed = letter(2, reason=DeadReason.FAILED, attempts=3, explanation="ValueError\n  line 7")
    for each in (old, BROKEN, failed):
        await broker.dead.set_aside(each)

    listed = await site.run("list")
    assert [line.split()[2] for line in listed.out.splitlines()[1:]] == [
        "refused",
        "undecodable",
        "failed",
    ]
    assert "\x1b" not in listed.out
    as_json = await site.run("list", "--json", "--newer-than", "1h", "--channel", "orders:*")
    assert [json.loads(line)["id"] for line in as_json.out.splitlines()] == [failed.message_id]

    shown = await site.run("show", failed.message_id)
    assert '{"n":2}' in shown.out
    assert "line 7" in shown.out
    unknown = await site.run("show", "nobody")
    assert unknown.code == 2
    assert "forebay dead list" in unknown.err

    declined = await site.run("drop", "--older-than", "1h", answer="n\n")
    assert "Drop 1 dead letter? [y/N]" in declined.out
    assert declined.code == 1
    await site.until_dead(3)
    agreed = await site.run("drop", "--older-than", "1h", answer="y\n")
    assert "Dropped 1 dead letter." in agreed.out
    assert (await site.run("drop", "--yes", failed.message_id)).code == 0
    left = await site.run("list", "--json")
    assert [json.loads(line)["reason"] for line in left.out.splitlines()] == ["undecodable"]


@pytest.mark.timeout(60)
async def test_what_cannot_be_replayed_is_said_and_left(site: Site, broker: Broker) -> None:
    for each in (BROKEN, letter(1), letter(2)):
        await broker.dead.set_aside(each)
    ran = await site.run("replay", "--yes")
    assert ran.code == 2
    assert "Cannot be replayed, 1: what is undecodable" in ran.err
    assert "Replayed 2 entries. 1 are left" in ran.err
    await site.until_dead(1)


@pytest.mark.timeout(60)
async def test_while_somebody_reads_dead_letters_nobody_else_does(
    site: Site, broker: Broker
) -> None:
    await broker.dead.set_aside(letter(1))
    async with broker.dead.read():
        ran = await site.run("replay", "--yes")
    assert ran.code == 2
    assert "somebody else reads the dead letters" in ran.err
    await site.until_dead(1)


async def test_an_operator_may_do_nothing_but_that(site: Site) -> None:
    async with open_rabbitmq(site.as_operator) as broker:
        async with broker.dead.read() as letters:
            assert [held async for held in letters] == []
        await broker.inbound(PARTITIONS[0]).submit(b"x", entries=1, message_id="")
        with pytest.raises(BrokerUnavailable, match="ACCESS_REFUSED"):
            await broker.dead.set_aside(BROKEN)
        with pytest.raises(BrokerUnavailable, match="ACCESS_REFUSED"):
            await broker.log(PARTITIONS[0]).append(b"x", entries=1)
        for stream in (broker.log(PARTITIONS[0]), broker.tops(PARTITIONS[0])):
            with pytest.raises(TopologyProblem, match="ACCESS_REFUSED"):
                async with stream.read(0):
                    pass
        with pytest.raises(TopologyProblem, match="ACCESS_REFUSED"):
            async with broker.inbound(PARTITIONS[0]).intake(1):
                pass


# ---- the promise


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.timeout(120)
async def test_replay_is_exactly_once_and_in_order_though_it_is_killed(
    site: Site, broker: Broker
) -> None:
    expected: dict[str, list[bytes]] = {channel: [] for channel in CHANNELS}
    entries = []
    for number in range(LETTERS):
        channel, payload = CHANNELS[number % len(CHANNELS)], b'{"n":%d}' % number
        expected[channel].append(payload)
        entries.append(Entry(EntryKind.PUBLISH, channel, NO_SENDER, payload))
    site.worker.start()
    await submit(broker, "front", entries)
    await site.until_dead(LETTERS)
    await set_some_aside_again(broker)
    site.worker.terminate()
    site.use_schema(MENDED)
    site.worker.start()

    logs = LogReading(broker)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(logs.run())
        for least in (1, LETTERS // 3):
            replaying = await site.start("replay", "--yes")
            await logs.until_published(least)
            replaying.send_signal(signal.SIGKILL)
            assert await replaying.wait() == -signal.SIGKILL, "it was not killed half-way"
        await replay_all(site)
        # After all that may have been submitted twice.
        last = [Entry(EntryKind.PUBLISH, channel, NO_SENDER, b"{}") for channel in CHANNELS]
        await submit(broker, "last", last)
        await logs.until_published(LETTERS + len(last))
        reading.cancel()

    found: dict[str, list[bytes]] = {channel: [] for channel in CHANNELS}
    for channel, payload in logs.published():
        found[channel].append(payload)
    assert found == {channel: [*payloads, b"{}"] for channel, payloads in expected.items()}


async def replay_all(site: Site) -> None:
    """Replay until nothing is left: a worker that starts may set letters aside once more."""
    async with asyncio.timeout(WAIT_SECONDS):
        while await site.count_dead():
            ran = await site.run("replay", "--yes")
            assert ran.code == 0, ran.err


async def set_some_aside_again(broker: Broker) -> None:
    """As a worker does that died before it could say that it had."""
    async with broker.dead.read() as letters:
        again = [held.letter async for held in letters if held.tag % 1_000 == 0]
    for each in again:
        await broker.dead.set_aside(each)
