"""The private node keeps what was confirmed, ends with its starter's will, and leaves nothing."""

import asyncio
from pathlib import Path

import aio_pika
import pytest

from broker.local import files
from broker.local.files import NodePorts
from broker.local.node import ControlFailed, LocalNode, NodeFailed, PortInUse
from broker.local.ports import is_free, is_listening

pytestmark = pytest.mark.timeout(
    90
)  # each start of a node takes six seconds, more on a busy machine


async def declare_and_fill(node: LocalNode, prefix: str) -> None:
    connection = await aio_pika.connect(node.amqp_url)
    async with connection:
        amqp_channel = await connection.channel()
        for kind in ("quorum", "stream"):
            queue = await amqp_channel.declare_queue(
                f"{prefix}{kind}", durable=True, arguments={"x-queue-type": kind}
            )
            message = aio_pika.Message(b"x", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await amqp_channel.default_exchange.publish(message, queue.name)


async def take_one(node: LocalNode, queue_name: str) -> bytes:
    connection = await aio_pika.connect(node.amqp_url)
    async with connection:
        amqp_channel = await connection.channel()
        queue = await amqp_channel.declare_queue(queue_name, passive=True)
        return (await queue.get(no_ack=True, timeout=15)).body


async def test_the_shared_node_serves_quorum_queues_and_streams(
    rabbit_node: LocalNode, rabbit_prefix: str
) -> None:
    await declare_and_fill(rabbit_node, rabbit_prefix)
    listed = await rabbit_node.ctl("list_queues", "-p", "forebay", "name", "type")
    assert f"{rabbit_prefix}quorum\tquorum" in listed
    assert f"{rabbit_prefix}stream\tstream" in listed


async def test_the_shared_node_has_no_guest(rabbit_node: LocalNode) -> None:
    assert "guest" not in await rabbit_node.ctl("list_users")


async def test_a_failing_control_command_says_why(rabbit_node: LocalNode) -> None:
    with pytest.raises(ControlFailed, match="does not exist"):
        await rabbit_node.ctl("delete_user", "nobody")


async def test_a_killed_node_comes_back_with_what_was_confirmed(
    private_rabbit_node: LocalNode,
) -> None:
    node = private_rabbit_node
    await declare_and_fill(node, "kept.")
    # RabbitMQ writes the register of its quorum queues a moment after it has confirmed a declare:
    # of a queue younger than about a second a crash leaves only the name (measured on 3.10.8).
    await asyncio.sleep(3)
    await node.kill()
    assert not is_listening(node.ports.amqp)
    assert is_free(node.ports.epmd)
    await node.start()
    assert await take_one(node, "kept.quorum") == b"x"


async def test_a_paused_node_answers_when_it_is_resumed(rabbit_node: LocalNode) -> None:
    rabbit_node.pause()
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await aio_pika.connect(rabbit_node.amqp_url)
    finally:
        rabbit_node.resume()
    connection = await aio_pika.connect(rabbit_node.amqp_url)
    await connection.close()


async def test_a_node_whose_port_is_taken_names_the_owner(
    rabbit_node: LocalNode, tmp_path: Path
) -> None:
    ports = NodePorts.find(amqp=rabbit_node.ports.amqp)
    with pytest.raises(PortInUse, match=f"{ports.amqp} .amqp. is in use by process"):
        await LocalNode(tmp_path, ports=ports).start()


async def test_a_node_that_cannot_start_shows_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rabbitmq.conf").write_text("no_such_setting = 1\n")
    (tmp_path / "enabled_plugins").write_text("[].\n")
    monkeypatch.setattr(files, "SHARED", tmp_path)
    with pytest.raises(NodeFailed, match="no_such_setting"):
        await LocalNode(tmp_path / "node").start()
