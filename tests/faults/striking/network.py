"""What happens between clients and fronts."""

import asyncio

from tests.faults.proxy.line import FAIR, Weather
from tests.faults.proxy.moment import Direction, Moment
from tests.faults.striking.processes import BAD_WEATHER_SECONDS, DELAYED, THROTTLED
from tests.faults.striking.scene import Scene

HALF_OPEN_SECONDS = (1.0, 4.0)
SLICED = Weather(slice_bytes=7)

# For half a frame to leave before the reset overtakes it.
_ON_ITS_WAY_SECONDS = 0.01


async def cut(scene: Scene) -> None:
    """Reset all clients of one front."""
    scene.clients.cut()
    scene.drop()


async def half_open(scene: Scene) -> None:
    """Let nothing through one way or both; in the end the connections turn out to be lost."""
    scene.clients.freeze(scene.half_open_directions())
    try:
        await asyncio.sleep(scene.random.uniform(*HALF_OPEN_SECONDS))
    finally:
        scene.clients.cut()
        scene.drop()
        scene.clients.thaw()


async def reset_in_frame(scene: Scene) -> None:
    """Let half of a frame arrive, and then a reset."""
    assert scene.caught is not None
    content, moment = scene.caught.passage
    direction = Direction.UP if moment is Moment.PUBLISH else Direction.DOWN
    # While the frame is held nothing else goes that way: half of it would swallow what follows.
    scene.caught.line.inject(direction, content[: len(content) // 2])
    await asyncio.sleep(_ON_ITS_WAY_SECONDS)
    scene.drop()


async def delay(scene: Scene) -> None:
    """Add latency with jitter."""
    await _weather(scene, DELAYED)


async def throttle(scene: Scene) -> None:
    """Let few bytes a second through."""
    await _weather(scene, THROTTLED)


async def cut_in_slices(scene: Scene) -> None:
    """Let bytes through a few at a time."""
    await _weather(scene, SLICED)


async def _weather(scene: Scene, weather: Weather) -> None:
    scene.clients.set_weather(weather)
    try:
        await asyncio.sleep(BAD_WEATHER_SECONDS)
    finally:
        scene.clients.set_weather(FAIR)
