"""What aiohttp is of a WebSocket here: the handshake, and reading.

Rules: it writes nothing but the handshake's answer. aiohttp closes by itself when it has read what
is no frame; that would go past the outbox, whose frames would follow the close (RFC 6455 §5.5.1).
"""

from typing import Literal

from aiohttp import WSCloseCode, web


class FrameReader(web.WebSocketResponse[Literal[False]]):
    """The WebSocket of one client; whoever reads is told of an error, and closes."""

    async def close(
        self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True
    ) -> bool:
        """Do nothing, and say so: aiohttp calls this wherever it would close by itself."""
        return False

    async def release(self) -> None:
        """Let go of what aiohttp keeps of a connection that is being closed. Never waits.

        Its close fails then, and it keeps the exception, whose traceback leads back to it: a ring
        of 10 KB for each client that left, until the collector looks through everything.
        """
        await super().close()
        failure = self.exception()
        if failure is not None:
            failure.__traceback__ = failure.__context__ = None
