"""Carries one strike out: waits until its phase comes by anywhere, and strikes there.

Rules: whose batch it is does not matter, so the first process at which the moment is seen is the
one that is hit, unless it is being struck already. What is held is let go whatever happens.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from broker.local.node import ControlFailed
from tests.faults.arena import Arena, Member
from tests.faults.load import Load
from tests.faults.proxy.moment import Moment
from tests.faults.proxy.proxy import Proxy
from tests.faults.proxy.trap import Caught, Trap
from tests.faults.schedule import Fault, Part, Phase, Strike
from tests.faults.striking.clients import Tolerated
from tests.faults.striking.deeds import DEEDS
from tests.faults.striking.processes import NotEnded
from tests.faults.striking.scene import Scene
from tests.system.connection import ConnectionLost

_BROKERS = (Part.BROKER, Part.CLUSTER)

REACH_SECONDS = 10.0
"""How long a phase is waited for. Under this load each comes by many times a second, once what was
struck before is back."""
_PROVOKE_SECONDS = 1.0
_TRY_AGAIN_SECONDS = 0.1
# For a frame that was let go to leave: the moment has then passed.
_PASSED_SECONDS = 0.01


@dataclass(frozen=True)
class Struck:
    """What came of a strike."""

    strike: Strike
    target: str
    """Whom it hit, or whose frame was held; nobody if its phase did not come by in time."""
    complaint: str = ""

    @property
    def is_reached(self) -> bool:
        """Whether the fault happened at its phase."""
        return bool(self.target)

    def __str__(self) -> str:
        whom = self.target or "NOT REACHED"
        return f"{self.strike.cell} ({whom})"


class Striker:
    """Strikes during one load."""

    def __init__(self, arena: Arena, load: Load) -> None:
        self._arena = arena
        self._load = load
        self._broker_is_struck = asyncio.Lock()

    async def strike(self, strike: Strike) -> Struck:
        """Wait for the time and the phase, and do the deed with all that belongs to it."""
        await asyncio.sleep(strike.at_seconds)
        if strike.cell.fault.part in _BROKERS:
            async with self._broker_is_struck:
                return await self._strike(strike)
        return await self._strike(strike)

    async def _strike(self, strike: Strike) -> Struck:
        try:
            async with asyncio.timeout(REACH_SECONDS):
                scene = await self._reach(strike)
        except TimeoutError:
            return Struck(strike, "")
        is_broker = strike.cell.fault.part in _BROKERS
        struck, was_struck = scene.member, scene.member.is_struck
        # What the broker or clients do holds up no other strike.
        struck.is_struck = was_struck or strike.cell.fault.part in (Part.WORKER, Part.FRONT)
        try:
            await self._do(strike.cell.fault, scene)
        except (Tolerated, NotEnded, ControlFailed) as complaint:
            return Struck(strike, scene.member.name, f"{strike.cell}: {complaint}")
        except ConnectionLost:  # what a hostile client asked was not answered: asked of nobody
            return Struck(strike, "")
        finally:
            scene.let_go()
            struck.is_struck = was_struck
        is_anytime = strike.cell.phase.moment is None
        return Struck(strike, "broker" if is_broker and is_anytime else scene.member.name)

    async def _do(self, fault: Fault, scene: Scene) -> None:
        if fault.part is Part.CLIENT:
            await self._do_until_answered(fault, scene)
        else:
            await DEEDS[fault](scene)

    async def _do_until_answered(self, fault: Fault, scene: Scene) -> None:
        """Ask again elsewhere if the front is struck meanwhile.

        Raises:
            ConnectionLost: nobody answered.
        """
        for front in [scene.front, *self._arena.fronts]:
            scene.member = front
            with suppress(ConnectionLost):
                await DEEDS[fault](scene)
                return
        raise ConnectionLost("no front answered")

    async def _reach(self, strike: Strike) -> Scene:
        random = Random(strike.seed)
        phase = strike.cell.phase
        if phase.moment is None:
            member = self._pick(strike.cell.fault.part, random)
            return Scene(self._arena, self._load, random, member)
        caught = await self._catch(strike, phase.moment, random)
        member = self._arena.member_of(caught.proxy)
        if not phase.is_after:
            return Scene(self._arena, self._load, random, member, caught)
        caught.release()
        await asyncio.sleep(_PASSED_SECONDS)
        return Scene(self._arena, self._load, random, member)

    def _pick(self, part: Part, random: Random) -> Member:
        members: list[Member] = [*self._arena.fronts]
        if part is Part.WORKER:
            members = self._arena.workers
        # What needs no phase needs no process that is whole either: it only makes matters worse.
        return random.choice([each for each in members if not each.is_struck] or members)

    async def _catch(self, strike: Strike, moment: Moment, random: Random) -> Caught:
        while True:
            trap = Trap(moment)
            for proxy in self._ways(strike.cell):
                proxy.arm(trap)
            provoking = asyncio.create_task(self._provoke(strike.cell.phase, random))
            try:
                caught = await trap.until_sprung()
            finally:
                provoking.cancel()
                trap.disarm()
            is_broker = strike.cell.fault.part in _BROKERS
            if is_broker or not self._arena.member_of(caught.proxy).is_struck:
                return caught
            caught.release()
            await asyncio.sleep(_TRY_AGAIN_SECONDS)

    def _ways(self, cell: tuple[Fault, Phase]) -> Iterator[Proxy]:
        fault, phase = cell
        if fault.part is Part.NETWORK:
            for front in self._arena.fronts:
                assert front.clients is not None
                yield front.clients
            return
        is_of_fronts = phase in Fault.FRONT_KILLED.phases
        for member in self._arena.fronts if is_of_fronts else self._arena.workers:
            yield from member.ways

    async def _provoke(self, phase: Phase, random: Random) -> None:
        """Make come by what does not come by itself: claims, and clients that come back."""
        while phase in (Phase.BEFORE_FENCE, Phase.BEFORE_RECOVERY):
            if phase is Phase.BEFORE_FENCE:
                free = [each for each in self._arena.workers if not each.is_struck]
                for worker in random.sample(free, min(1, len(free))):
                    worker.cut()
            else:
                front = random.choice(self._arena.fronts)
                assert front.clients is not None
                front.clients.cut()
            await asyncio.sleep(_PROVOKE_SECONDS)
