"""What happens to workers and fronts: they die, freeze, or lose the broker."""

import asyncio
import subprocess

from tests.faults.proxy.line import FAIR, Weather
from tests.faults.striking.scene import Scene

SHORT_FREEZE_SECONDS = 1.0
FRONT_FREEZE_SECONDS = 3.0
# A worker's AMQP heartbeat is 3 s and the broker waits for three of them: when it wakes up it has
# lost its partitions, and does not know it.
ZOMBIE_SECONDS = 12.0

DEAD_SECONDS = (0.1, 1.5)
HALF_OPEN_SECONDS = (2.0, 6.0)
BAD_WEATHER_SECONDS = 3.0

DELAYED = Weather(delay_seconds=0.1, jitter_seconds=0.2)
THROTTLED = Weather(bytes_a_second=24_000)

# For another worker to take the partition over.
LATE_SECONDS = 1.5

# For a signal to be heard before the held frame goes on.
_HEARD_SECONDS = 0.05


class NotEnded(Exception):
    """A process did not end when it was asked to."""


async def kill(scene: Scene) -> None:
    """SIGKILL; what was held never arrives. It is started again a little later."""
    scene.member.process.kill9()
    scene.drop()
    await asyncio.sleep(scene.random.uniform(*DEAD_SECONDS))
    scene.member.process.start()


async def terminate(scene: Scene) -> None:
    """SIGTERM, and another start."""
    ending = asyncio.create_task(asyncio.to_thread(scene.member.process.terminate))
    try:
        await asyncio.sleep(_HEARD_SECONDS)
        scene.let_go()
        await ending
    except subprocess.TimeoutExpired as error:
        raise NotEnded(f"{scene.member.name} did not end after SIGTERM") from error
    finally:
        scene.member.process.restart()


async def freeze_shortly(scene: Scene) -> None:
    """SIGSTOP, for less than the broker's patience."""
    await _freeze(scene, SHORT_FREEZE_SECONDS)


async def freeze_front(scene: Scene) -> None:
    """SIGSTOP for longer than a client wants to wait."""
    await _freeze(scene, FRONT_FREEZE_SECONDS)


async def make_zombie(scene: Scene) -> None:
    """SIGSTOP, for longer than the broker's patience."""
    await _freeze(scene, ZOMBIE_SECONDS)


async def _freeze(scene: Scene, seconds: float) -> None:
    scene.member.process.freeze()
    try:
        await asyncio.sleep(seconds)
    finally:
        scene.member.process.resume()
        scene.let_go()


async def cut(scene: Scene) -> None:
    """Reset one of its broker connections, or all; it does not know what of the last bytes went."""
    if scene.caught is None or scene.random.random() < 0.5:
        scene.member.cut()
    scene.drop()


async def half_open(scene: Scene) -> None:
    """Let nothing through one way or both; in the end the connections turn out to be lost."""
    directions = scene.half_open_directions()
    for way in scene.member.ways:
        way.freeze(directions)
    try:
        await asyncio.sleep(scene.random.uniform(*HALF_OPEN_SECONDS))
    finally:
        scene.member.cut()
        scene.drop()
        for way in scene.member.ways:
            way.thaw()


async def append_late(scene: Scene) -> None:
    """Let others take the partition, and then let the held record arrive in the log."""
    assert scene.caught is not None
    held = scene.caught.line
    for way in scene.member.ways:
        way.cut(line for line in way.lines if line is not held)
    await asyncio.sleep(LATE_SECONDS)
    scene.let_go()


async def delay(scene: Scene) -> None:
    """Add latency with jitter to its broker connections."""
    await _weather(scene, DELAYED)


async def throttle(scene: Scene) -> None:
    """Let few bytes a second through on its broker connections."""
    await _weather(scene, THROTTLED)


async def _weather(scene: Scene, weather: Weather) -> None:
    for way in scene.member.ways:
        way.set_weather(weather)
    try:
        await asyncio.sleep(BAD_WEATHER_SECONDS)
    finally:
        for way in scene.member.ways:
            way.set_weather(FAIR)
