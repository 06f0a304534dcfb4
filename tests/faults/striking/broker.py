"""What happens to the broker."""

import asyncio

from broker.local.files import VHOST
from broker.partition import Partition
from broker.rabbitmq.names import Names
from tests.faults.proxy.amqp import AmqpInspector, encode_cancel
from tests.faults.proxy.moment import Direction
from tests.faults.striking.scene import Scene
from tests.system.deployment import LANES

AWAY_SECONDS = (0.2, 1.5)
FROZEN_SECONDS = 3.0
LONG_FROZEN_SECONDS = 15.0
ALARM_SECONDS = 3.0
# As the configuration shared by all nodes has it.
DISK_LIMIT = "200MB"
MORE_THAN_ANY_DISK = "100000GB"
MEMORY_WATERMARK = "0.4"
POLICY_SECONDS = 1.5

_HEARD_SECONDS = 0.05


def _some_log(scene: Scene) -> str:
    """Name a log of the deployment's, whose leader is to be struck."""
    lane, count = scene.random.choice([*LANES.items()])
    return Names(scene.arena.prefix).log(Partition(lane, scene.random.randrange(count)))


async def kill(scene: Scene) -> None:
    """SIGKILL of a node, and another start."""
    await scene.arena.rabbit.kill(_some_log(scene))
    scene.drop()
    await asyncio.sleep(scene.random.uniform(*AWAY_SECONDS))
    await scene.arena.rabbit.start()


async def terminate(scene: Scene) -> None:
    """An orderly stop of a node, and another start."""
    ending = asyncio.create_task(scene.arena.rabbit.terminate(_some_log(scene)))
    await asyncio.sleep(_HEARD_SECONDS)
    scene.let_go()
    await ending
    await scene.arena.rabbit.start()


async def freeze(scene: Scene) -> None:
    """SIGSTOP of a node, for less than anybody's patience."""
    await _freeze(scene, FROZEN_SECONDS)


async def freeze_long(scene: Scene) -> None:
    """SIGSTOP of a node, for longer than workers' patience."""
    await _freeze(scene, LONG_FROZEN_SECONDS)


async def _freeze(scene: Scene, seconds: float) -> None:
    await scene.arena.rabbit.pause(_some_log(scene))
    try:
        scene.let_go()
        await asyncio.sleep(seconds)
    finally:
        scene.arena.rabbit.resume()


async def close_connections(scene: Scene) -> None:
    """`rabbitmqctl close_all_connections`."""
    await scene.arena.rabbit.ctl("close_all_connections", "a fault of the tests")
    scene.drop()


async def raise_memory_alarm(scene: Scene) -> None:
    """Let the node think that it has far too little memory: it takes nothing from publishers."""
    try:
        await scene.arena.rabbit.ctl("set_vm_memory_high_watermark", "0.00001")
        await asyncio.sleep(ALARM_SECONDS)
    finally:
        await scene.arena.rabbit.ctl("set_vm_memory_high_watermark", MEMORY_WATERMARK)


async def raise_disk_alarm(scene: Scene) -> None:
    """Let the node think that its disk is nearly full."""
    try:
        await scene.arena.rabbit.ctl("set_disk_free_limit", MORE_THAN_ANY_DISK)
        await asyncio.sleep(ALARM_SECONDS)
    finally:
        await scene.arena.rabbit.ctl("set_disk_free_limit", DISK_LIMIT)


async def cancel_log_consumers(scene: Scene) -> None:
    """Say basic.cancel to all who read a log, in the broker's name, as it does when a log moves.

    The broker itself goes on serving them: what it sends to a cancelled consumer is nobody's.
    """
    for way in [way for member in scene.arena.members for way in member.ways]:
        for line in list(way.lines):
            if isinstance(line.inspector, AmqpInspector):
                for number, tag in line.inspector.log_readers.items():
                    line.inject(Direction.DOWN, encode_cancel(number, tag))


async def change_policy(scene: Scene) -> None:
    """Set a policy that bounds the queues otherwise, and take it away again."""
    rabbit, prefix = scene.arena.rabbit, scene.arena.prefix
    pattern = f"^{prefix}(inbound|log|tops)".replace(".", r"\.")
    name = f"{prefix}fault"
    policy = '{"max-length-bytes": 400000000}'
    await rabbit.ctl("set_policy", "-p", VHOST, name, pattern, policy, "--apply-to", "queues")
    try:
        await asyncio.sleep(POLICY_SECONDS)
    finally:
        await rabbit.ctl("clear_policy", "-p", VHOST, name)
