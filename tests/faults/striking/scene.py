"""Where and when a strike happens: whom it hit, and the frame that is held meanwhile."""

from dataclasses import dataclass
from random import Random

from tests.faults.arena import Arena, FrontMember, Member
from tests.faults.load import Load
from tests.faults.proxy.moment import Direction
from tests.faults.proxy.proxy import Proxy
from tests.faults.proxy.trap import Caught


@dataclass
class Scene:
    """What a deed may use."""

    arena: Arena
    load: Load
    random: Random
    member: Member
    caught: Caught | None = None
    """The frame that is held; None if the phase is no frame's, or came after it."""

    @property
    def front(self) -> FrontMember:
        """The front that was hit, or whose clients were."""
        assert isinstance(self.member, FrontMember)
        return self.member

    @property
    def clients(self) -> Proxy:
        """The way from its clients to it."""
        assert self.front.clients is not None
        return self.front.clients

    def half_open_directions(self) -> tuple[Direction, ...]:
        """Draw in which directions a connection that broke unsaid lets nothing through."""
        one_way = [(direction,) for direction in Direction]
        return self.random.choice([tuple(Direction), *one_way])

    def let_go(self) -> None:
        """Let the held frame arrive."""
        if self.caught is not None:
            self.caught.release()

    def drop(self) -> None:
        """Lose the held frame, and with it the connection."""
        if self.caught is not None:
            self.caught.release(b"")
            self.caught.line.cut()
