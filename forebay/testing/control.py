"""What a test and its server say to each other, as values and as bytes.

The test asks, one thing at a time, and the server answers when everything has come to rest: what a
publish sets off has reached whom it concerns. Each frame is a message in MessagePack after its
length (4 bytes, big-endian), as between a worker and its app processes. With `Begin` travels the
server's end of a socket to the app's handlers, if there is an app.

Rules: one of the two modules that both sides import (`forebay.link` is the other), so it imports
nothing but that and msgspec.
"""

from __future__ import annotations

from typing import Any

import msgspec

from forebay.link import FRAME_BYTES_AT_MOST, LENGTH, Kind, encode_frame


class Begin(msgspec.Struct, frozen=True, tag=True):
    """Start a server: a broker, a worker and a front, all new."""

    folder: str
    """From where paths are meant."""
    path: str
    """Of the settings' file; empty for none."""
    settings: dict[str, Any]
    is_open: bool
    """Whether it begins with the settings of `forebay dev`: open to everybody."""
    has_app: bool
    """Whether a socket to one comes with this."""


class End(msgspec.Struct, frozen=True, tag=True):
    """Stop the server, whatever it is doing."""


class Open(msgspec.Struct, frozen=True, tag=True):
    """A client comes: a connection on which it has not said anything yet."""

    client: int
    is_binary: bool
    headers: dict[str, str]
    """Of its request; names in lower case."""


class Say(msgspec.Struct, frozen=True, tag=True):
    """A client sends a command: a JSON object, with payloads in base64 if it is binary."""

    client: int
    command: bytes


class Close(msgspec.Struct, frozen=True, tag=True):
    """A client's connection ends."""

    client: int


class Advance(msgspec.Struct, frozen=True, tag=True):
    """Let time pass."""

    seconds: float


class MakeToken(msgspec.Struct, frozen=True, tag=True):
    """Sign a token with the settings' key; for a subscription to `channel`, if one is named."""

    user: str
    channel: str
    info: bytes
    """JSON; empty for none."""
    expires_in_seconds: float
    """From the server's now; 0 for never."""


class LookAtDead(msgspec.Struct, frozen=True, tag=True):
    """Tell what was set aside."""


Request = Begin | End | Open | Say | Close | Advance | MakeToken | LookAtDead


class Told(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one client was sent."""

    client: int
    replies: bytes
    """Replies and pushes, a JSON object a line; payloads in base64 if the client is binary."""


class Closed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A client whose session the server ended."""

    client: int
    code: int
    reason: str


class StoredDead(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry that was set aside."""

    reason: str
    explanation: str
    kind: str
    channel: str
    data: bytes
    attempts: int


class Failed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An entry, or a hook's question, whose handler failed in all its tries."""

    kind: Kind
    name: str
    key: str
    attempts: int
    text: str
    trace: str


class Rested(msgspec.Struct, frozen=True, tag=True):
    """Done, and what clients were told meanwhile."""

    now: float
    """Unix seconds, as the server sees them."""
    told: list[Told] = []
    closed: list[Closed] = []
    failed: list[Failed] = []
    token: str = ""
    dead: list[StoredDead] = []


class CannotDo(msgspec.Struct, frozen=True, tag=True):
    """It is not done; a line for each reason."""

    problems: list[str]


class Broke(msgspec.Struct, frozen=True, tag=True):
    """The server failed, which is a fault of ours: its traceback."""

    trace: str


Answer = Rested | CannotDo | Broke

_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def encode(message: Request | Answer) -> bytes:
    """Write a message as a frame, its length before it."""
    return encode_frame(message)


def decode_request(frame: bytes) -> Request:
    """Read a frame, without its length, that came from a test.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return _requests.decode(frame)


def decode_answer(frame: bytes) -> Answer:
    """Read a frame, without its length, that came from a server.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return _answers.decode(frame)


def cut_frame(buffer: bytearray) -> bytes | None:
    """Take the first frame out of what has arrived; None if it is not all there.

    Raises:
        ValueError: it is longer than any may be.
    """
    if len(buffer) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack_from(buffer)
    if size > FRAME_BYTES_AT_MOST:
        raise ValueError(f"a frame of {size} bytes")
    end = LENGTH.size + size
    if len(buffer) < end:
        return None
    frame = bytes(memoryview(buffer)[LENGTH.size : end])
    del buffer[:end]
    return frame
