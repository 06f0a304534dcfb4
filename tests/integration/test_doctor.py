"""`forebay doctor` says in a sentence what is wrong with a RabbitMQ, and what to do."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from broker.genesis import genesis_fence
from broker.local.files import VHOST
from broker.local.node import LocalNode
from broker.partition import Partition
from broker.rabbitmq import RabbitSettings, apply_topology, open_rabbitmq
from broker.rabbitmq.connection import read_version
from broker.rabbitmq.topology import permissions

pytestmark = pytest.mark.timeout(60)

ROOT = Path(__file__).parents[2]
PASSWORD = "a-password"
FIRST = Partition("main", 0)


async def doctor(
    urls: str, prefix: str, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("FOREBAY_")}
    environment = {
        **inherited,
        "FOREBAY_RABBITMQ__URL": urls,
        "FOREBAY_RABBITMQ__PREFIX": prefix,
        "FOREBAY_LANES__MAIN__PARTITIONS": "2",
        **(more or {}),
    }
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "forebay", "doctor"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def says(done: subprocess.CompletedProcess[str], problem: str, next_step: str) -> None:
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith("forebay: ")
    assert problem in line
    assert next_step in line


@pytest_asyncio.fixture
async def prepared(rabbit_node: LocalNode, rabbit_prefix: str) -> AsyncIterator[str]:
    """A prefix under which everything is there."""
    await apply_topology((rabbit_node.amqp_url,), prefix=rabbit_prefix, lanes={"main": 2})
    yield rabbit_prefix


async def with_user(node: LocalNode, name: str, configure: str, write: str, read: str) -> str:
    """The URL of a user who may do so much. It goes with the node's other users of the prefix."""
    await node.ctl("add_user", name, PASSWORD)
    await node.ctl("set_permissions", "-p", VHOST, name, configure, write, read)
    return node.amqp_url_for(name, PASSWORD)


async def test_what_is_complete_can_be_used(rabbit_node: LocalNode, prepared: str) -> None:
    done = await doctor(rabbit_node.amqp_url, prepared)
    assert (done.returncode, done.stderr) == (0, "")
    assert "front, worker" in done.stdout
    assert done.stdout.endswith("Front and worker can start.\n")


async def test_a_second_look_finds_the_same(rabbit_node: LocalNode, prepared: str) -> None:
    assert await doctor_output(rabbit_node, prepared) == await doctor_output(rabbit_node, prepared)


async def doctor_output(node: LocalNode, prefix: str) -> str:
    return (await doctor(node.amqp_url, prefix)).stdout


async def test_a_broker_that_is_away_is_said() -> None:
    done = await doctor("amqp://somebody:secret@127.0.0.1:1/x", "a.")
    says(done, "RabbitMQ cannot be reached", "Check that it is running, and rabbitmq.url")
    assert "secret" not in done.stderr


async def test_a_wrong_password_is_said(rabbit_node: LocalNode, prepared: str) -> None:
    url = rabbit_node.amqp_url_for(rabbit_node.admin_user, "wrong-secret")
    done = await doctor(url, prepared)
    says(done, "refuses the user or the virtual host", "Check rabbitmq.url")
    assert "wrong-secret" not in done.stderr


async def test_a_wrong_virtual_host_is_said(rabbit_node: LocalNode, prepared: str) -> None:
    url = rabbit_node.amqp_url.rpartition("/")[0] + "/nowhere"
    done = await doctor(url, prepared)
    says(done, "nowhere", "rabbitmq.url")


async def test_what_does_not_speak_amqp_is_said(rabbit_node: LocalNode, prepared: str) -> None:
    port = rabbit_node.ports.management
    done = await doctor(f"amqp://u:p@127.0.0.1:{port}/x", prepared)
    says(done, "RabbitMQ cannot be reached", "rabbitmq.url")


async def test_a_missing_topology_is_said(rabbit_node: LocalNode, rabbit_prefix: str) -> None:
    done = await doctor(rabbit_node.amqp_url, rabbit_prefix)
    says(done, f"{rabbit_prefix}inbound.main.0 is not there", "forebay topology apply")


@pytest.mark.parametrize("partitions", ["1", "3"])
async def test_another_number_of_partitions_is_said(
    rabbit_node: LocalNode, prepared: str, partitions: str
) -> None:
    more = {"FOREBAY_LANES__MAIN__PARTITIONS": partitions}
    done = await doctor(rabbit_node.amqp_url, prepared, more)
    says(done, "another number of partitions", "lanes.main.partitions")


async def test_a_user_without_permission_is_said(rabbit_node: LocalNode, prepared: str) -> None:
    url = await with_user(rabbit_node, f"{prepared}nobody", "^$", "^$", ".*")
    done = await doctor(url, prepared)
    says(done, "no permission to write", "rabbitmq.url")


async def test_the_least_that_a_role_may_is_enough(rabbit_node: LocalNode, prepared: str) -> None:
    # A worker's user may do what a front's may: what follows from an entry goes into the pools.
    for role, enough_for in (("front", "front"), ("worker", "front, worker")):
        url = await with_user(rabbit_node, f"{prepared}{role}", *permissions(prepared)[role])
        done = await doctor(url, prepared)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"as: {enough_for}." in done.stdout


async def test_both_roles_may_put_entries_into_the_pool_and_speak_to_one_process(
    rabbit_node: LocalNode, prepared: str
) -> None:
    for role in ("front", "worker"):
        url = await with_user(rabbit_node, f"{prepared}{role}", *permissions(prepared)[role])
        async with open_rabbitmq(RabbitSettings((url,), prepared)) as broker:
            await broker.log(FIRST).end()  # waits for the connection
            await broker.inbound(FIRST).submit(b"x", entries=1, message_id=role)
            async with broker.bus.listen() as heard:
                await broker.bus.send(broker.node_id, b"to itself")
                assert await anext(heard) == b"to itself"


async def test_a_clock_that_is_behind_the_log_is_said(
    rabbit_node: LocalNode, prepared: str
) -> None:
    settings = RabbitSettings((rabbit_node.amqp_url,), prepared)
    async with open_rabbitmq(settings) as broker:
        await broker.log(FIRST).end()  # waits for the connection
        later = int(time.time()) + 100
        await broker.log(FIRST).append(genesis_fence(2, later), entries=0)
    done = await doctor(rabbit_node.amqp_url, prepared)
    says(done, "s behind the one by which the log", "NTP")


@pytest.mark.parametrize(
    ("text", "is_new_enough"),
    [("3.9.29", False), ("3.10.0", True), ("4.1.0-rc.1", True), ("", False), ("x", False)],
)
def test_a_version_is_compared_by_its_numbers(text: str, is_new_enough: bool) -> None:
    assert (read_version(text) >= (3, 10)) is is_new_enough
