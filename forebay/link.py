"""What a worker and its app processes say to each other, as values and as bytes.

A worker gives tasks, many in a frame; an app process answers each of them once, many in a frame,
in whatever order its handlers end. Both sit at the ends of a socket pair; each frame is a message
in MessagePack after its length (4 bytes, big-endian).

    app     ──▶ Ready | CannotServe            once
    worker  ──▶ Tasks …                        app ──▶ Answers …
    worker  ──▶ closes its end: the app process ends

Beside it both see a shared page of memory, one byte for each task that may be under way (`Mark`):
what stands there is the last that a process did, even if it did not live to say so.

Rules
- Tasks of one line are carried out one after the other, in the order in which they were given;
  those of different lines at the same time, as far as handlers wait.
- When a task of a line fails, those behind it that were given in the same or an earlier generation
  are answered `UNSTARTED`: they wait until the one that failed is tried again.
- The only module that both sides import, but for `forebay.hooks`, which says what the data of some
  tasks and answers is; so they import nothing but msgspec.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

import msgspec

LENGTH: Final = struct.Struct("!I")
"""How the length stands before each frame."""

FRAME_BYTES_AT_MOST: Final = 16 * 1024 * 1024
"""A longer one is nonsense: so much is never given at once, and no answer may be so long."""

TASKS_AT_MOST: Final = 4_096
"""Under way in one process, and so the bytes of the shared page."""

ANSWER_BYTES_AT_MOST: Final = 1024 * 1024
"""Of one task's answer with all that follows from it; more fails the task."""

SIDES_AT_MOST: Final = 100
"""What one task may publish and order besides; more fails the task."""


class Mark(IntEnum):
    """What a byte of the shared page says of the task in its place."""

    WAITING = 0
    BEGUN = 1
    """Its handler was called and has not ended: if the process dies now, this may be why."""
    ENDED = 2


class Kind(IntEnum):
    """What a handler is asked."""

    PUBLISH = 0
    RPC = 1
    SEND = 2
    DISCONNECT = 3
    CONNECT = 4
    SUBSCRIBE = 5


class Task(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One question to one handler."""

    number: int
    """The worker's own, rising in each process."""
    place: int
    """Its byte in the shared page."""
    line: str
    generation: int
    kind: Kind
    name: str
    """The channel, or the method of an rpc; empty where there is neither."""
    sender: bytes
    """The client as others see it, a JSON object (ClientInfo); `null` if no client asked."""
    data: bytes
    """As the client sent it; JSON, unless the channel's data is binary."""
    key: str
    """The same for every try of the same entry, and of no other; empty for connect and subscribe,
    which are never tried again."""
    attempt: int
    """From 1."""
    is_binary: bool = False


class Tasks(msgspec.Struct, frozen=True, array_like=True, tag=0, gc=False):
    """Worker to app."""

    tasks: list[Task]


class HandlerSpec(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What an app has a handler for: names that match the pattern, `*` for any characters."""

    kind: Kind
    pattern: str


class Ready(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """App to worker: it has started, and takes tasks."""

    handlers: list[HandlerSpec]


class CannotServe(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """App to worker: it cannot start, and a person has to change something."""

    reason: str


class Verdict(IntEnum):
    """How a task ended."""

    PASSED = 0
    """As it is: publish it, let it happen."""
    CHANGED = 1
    """The same with other data: `data`."""
    SWALLOWED = 2
    """It is done with, and nothing is published."""
    REFUSED = 3
    """`code` and `text` are for the client."""
    REPLIED = 4
    """`data` answers an rpc, a connect or a subscribe."""
    FAILED = 5
    """The handler raised, returned nonsense or took too long: `text` says which, `trace` where."""
    UNSTARTED = 6
    """One before it in its line failed; give it again."""


class SideKind(IntEnum):
    """What a handler does besides."""

    PUBLISH = 0
    """To the channel `target`; `data` is the payload."""
    ORDER = 1
    """To clients, of the user `target`; `data` is a JSON object that says what, with its tag in
    `order`."""


class Side(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Something that is done if, and only if, the task's own outcome comes to be."""

    kind: SideKind
    target: str
    data: bytes


class Answer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What became of one task."""

    number: int
    verdict: Verdict
    data: bytes = b""
    code: int = 0
    text: str = ""
    trace: str = ""
    sides: list[Side] = []


class Answers(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False):
    """App to worker. Most entries are passed on as they are, and take a number each."""

    passed: list[int]
    others: list[Answer]


ToApp = Tasks
ToWorker = Ready | CannotServe | Answers

_encoder = msgspec.msgpack.Encoder()
_to_app = msgspec.msgpack.Decoder(ToApp)
_to_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)


def encode(message: ToApp | ToWorker) -> bytes:
    """Write a message as a frame, its length before it."""
    return encode_frame(message)


def encode_frame(message: msgspec.Struct) -> bytes:
    """Write anything that is said in frames like these, its length before it."""
    frame = bytearray(LENGTH.size)
    _encoder.encode_into(message, frame, LENGTH.size)
    LENGTH.pack_into(frame, 0, len(frame) - LENGTH.size)
    return bytes(frame)


def decode_to_app(frame: bytes) -> ToApp:
    """Read a frame, without its length, that came from a worker.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return _to_app.decode(frame)


def decode_to_worker(frame: bytes) -> ToWorker:
    """Read a frame, without its length, that came from an app process.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return _to_worker.decode(frame)
