"""What goes wrong, when, and for how long: everything from the seed.

A fault comes at a random moment, or lies in wait for its victim at one leg of its way: between
append and read-back, between read-back and settling, between sending and storing. Each heals by
itself after a while; several may be at work at once.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from broker.embedded import Leg
from broker.embedded.pool import WaitingBatch
from tests.simulation.processes import Ambush, Process, WorkerProcess

if TYPE_CHECKING:
    from tests.simulation.world import World

AnyProcess = TypeVar("AnyProcess", bound=Process)

# Between these something is begun and not finished. CONFIRMING is after the append and before the
# read-back, SETTLING after the read-back.
_LEGS = (Leg.SENDING, Leg.CONFIRMING, Leg.READING, Leg.TAKING, Leg.SETTLING, Leg.OPENING)
_APPENDING = (Leg.SENDING, Leg.SENDING, Leg.CONFIRMING, Leg.READING)
_AMBUSH_SECONDS = 2.0
_PREFETCH = 6
_LEAVE_SECONDS = 90.0
"""More than the longest freeze and alarm together, beside which a worker waits for little."""
_HEARTBEAT_SECONDS = 9.0
"""After which the node gives a silent process up."""


class Nemesis:
    """Strikes again and again until the world closes, and then lets everything heal."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._random = Random(f"{world.seed} nemesis")
        self.struck: dict[str, int] = {}
        """How often each fault came, for a look at what a run was like."""

    async def run(self) -> None:
        """Strike until the world closes; ends when what was struck is well again."""
        async with asyncio.TaskGroup() as faults:
            while not self._world.is_closing:
                await asyncio.sleep(self._random.expovariate(self._world.faults_a_second))
                fault = self._random.choice(self._faults())
                self.struck[fault.__name__] = self.struck.get(fault.__name__, 0) + 1
                faults.create_task(fault())

    def _faults(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        faults: list[Callable[[], Coroutine[Any, Any, None]]] = [
            self.kill_worker,
            self.kill_worker,
            self.freeze,
            self.freeze,
            self.leave,
            self.leave,
            self.cut_off,
            self.cut_off,
            self.lose_intakes,
            self.make_zombie,
            self.make_zombie,
            self.make_zombie,
            self.kill_front,
            self.restart_reader,
            self.hold_publishes,
            self.hold_confirms,
            self.deliver_strays,
            self.deliver_strays,
            self.slow_down,
            self.deafen,
        ]
        if self._world.traits.is_log_lost:
            faults += [self.lose_tail, self.recreate_log]
        if not self._world.traits.is_order_kept:
            faults += [self.reorder, self.reorder, self.reorder]
        return faults

    async def _wait_for_moment(self, victim: Process) -> None:
        """Half of the time, wait until the victim is in the middle of something."""
        if self._random.random() < 0.5:
            await self._lie_in_wait(victim, self._random.choice(_LEGS))

    async def _lie_in_wait(self, victim: Process, leg: Leg) -> None:
        ambush = victim.ambush = Ambush(leg)
        await asyncio.wait([asyncio.ensure_future(ambush.sprung.wait())], timeout=_AMBUSH_SECONDS)
        ambush.sprung.set()

    def _pause(self, most_seconds: float) -> float:
        """Mostly short, seldom long."""
        return float(most_seconds * self._random.random() ** 3)

    def _one_of(self, processes: list[AnyProcess]) -> AnyProcess | None:
        return self._random.choice(processes) if processes else None

    def _a_worker(self) -> WorkerProcess | None:
        """One that works, as a rule: those that wait for their turn have little to lose."""
        world = self._world
        active = {name for each in world.archives for name in world.node.line(each)[:1]}
        working = [worker for worker in world.workers if worker.name in active]
        if working and self._random.random() < 0.8:
            return self._random.choice(working)
        return self._one_of(world.workers)

    def _anybody(self) -> Process | None:
        world = self._world
        if self._random.random() < 0.5:
            return self._a_worker()
        return self._one_of([*world.fronts, *world.readers])

    # ---- processes

    async def kill_worker(self) -> None:
        if worker := self._a_worker():
            await self._wait_for_moment(worker)
            await worker.kill()
            await self._world.replace_worker(worker, self._pause(4.0))

    async def leave(self) -> None:
        if worker := self._a_worker():
            await self._wait_for_moment(worker)
            worker.stop.set()
            async with asyncio.timeout(_LEAVE_SECONDS):
                await worker.ended()
            await self._world.replace_worker(worker, self._pause(4.0))

    async def kill_front(self) -> None:
        if front := self._one_of(self._world.fronts):
            await self._wait_for_moment(front)
            await front.kill()
            await self._world.replace_front(front, self._pause(3.0))

    async def restart_reader(self) -> None:
        if reader := self._one_of(self._world.readers):
            await reader.kill()
            await self._world.replace_reader(reader, self._pause(3.0))

    async def freeze(self) -> None:
        """A process stops and goes on; meanwhile the node may lose patience with it."""
        victim = self._anybody()
        if victim is None:
            return
        await self._wait_for_moment(victim)
        seconds = self._pause(20.0)
        victim.freeze()
        if seconds > _HEARTBEAT_SECONDS:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            seconds -= _HEARTBEAT_SECONDS
            self._random.choice((victim.cut_off, victim.lose_intakes))()
        elif self._random.random() < 0.6:
            await asyncio.sleep(seconds / 2)
            seconds /= 2
            self._random.choice((victim.cut_off, victim.lose_intakes))()
        await asyncio.sleep(seconds)
        victim.thaw()
        victim.restore()

    # ---- the network

    async def cut_off(self) -> None:
        if victim := self._anybody():
            await self._wait_for_moment(victim)
            victim.cut_off()
            if self._random.random() < 0.6:
                await asyncio.sleep(self._pause(8.0))
            victim.restore()

    async def lose_intakes(self) -> None:
        if victim := self._a_worker():
            await self._wait_for_moment(victim)
            victim.lose_intakes()

    async def deafen(self) -> None:
        """A process hears nothing more of what it reads, and is not told so."""
        if victim := self._anybody():
            await self._wait_for_moment(victim)
            with suppress(KeyError):  # it has died meanwhile
                self._world.node.deafen(victim.name)

    async def make_zombie(self) -> None:
        """A worker freezes in the middle of an append, another takes over, and it wakes up."""
        if victim := self._a_worker():
            await self._lie_in_wait(victim, self._random.choice(_APPENDING))
            victim.freeze()
            await asyncio.sleep(self._pause(0.2))
            victim.lose_intakes()
            await asyncio.sleep(self._pause(4.0))
            victim.thaw()

    async def slow_down(self) -> None:
        if victim := self._anybody():
            victim.slowness = self._random.choice((10.0, 50.0))
            await asyncio.sleep(self._pause(5.0))
            victim.slowness = 1.0

    async def deliver_strays(self) -> None:
        await asyncio.sleep(self._pause(3.0))
        self._world.node.deliver_strays()

    # ---- the node

    async def hold_publishes(self) -> None:
        self._world.node.hold_publishes()
        await asyncio.sleep(self._pause(8.0))
        self._world.node.release_publishes()

    async def hold_confirms(self) -> None:
        self._world.node.hold_confirms()
        await asyncio.sleep(self._pause(4.0))
        if self._random.random() < 0.5 and (victim := self._anybody()):
            victim.cut_off()
            victim.restore()
        self._world.node.release_confirms()

    async def lose_tail(self) -> None:
        if self._world.may_lose_log():
            partition, archive = self._random.choice(list(self._world.archives.items()))
            last = archive.lose_tail(self._random.choice((1, 1, 2, 4, 10)))
            self._world.note_loss(partition, last)

    async def recreate_log(self) -> None:
        if self._world.may_lose_log() and self._random.random() < 0.5:
            self._random.choice(list(self._world.archives.values())).recreate()

    async def reorder(self) -> None:
        for partition in self._world.archives:
            self._world.node.reorder_waiting(partition, self._shuffle_first)

    def _shuffle_first(self, waiting: list[WaitingBatch]) -> None:
        # What an intake gave back. Further than a worker's prefetch nothing gets out of its place.
        first = waiting[:_PREFETCH]
        self._random.shuffle(first)
        waiting[:_PREFETCH] = first
