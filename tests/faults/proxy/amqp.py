"""Reads along on an AMQP connection of Forebay's, and tells the moments of a batch's way.

AMQP 0-9-1, section 4.2: a frame is type, channel, size, payload and 0xCE. A message is a method
frame (basic.publish or basic.deliver), a content header and body frames; the last of these is what
makes it arrive.

Rules: it is told nothing by the processes; exchanges, the first bytes of bodies and a comparison of
bodies say everything.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import unpack_from

from tests.faults.proxy.moment import Direction, Moment, Passage

_PROTOCOL_HEADER_BYTES = 8
_FRAME_HEADER_BYTES = 7
_FRAME_END_BYTES = 1

_METHOD, _CONTENT_HEADER, _BODY = 1, 2, 3

_PUBLISH = (60, 40)
_DELIVER = (60, 60)
_ACK = (60, 80)
_CHANNEL_OPEN = (20, 10)
_CHANNEL_CLOSE = (20, 40)
_CHANNEL_CLOSED = (20, 41)

# What a process has under way at a time is a record a partition, and a few Fences.
_RECORDS_KEPT = 64

_FENCE = b'["fence"'
_SETTLED = b'["settled"'


class FrameReader:
    """Cuts one direction's bytes into frames."""

    def __init__(self, *, has_protocol_header: bool) -> None:
        self._rest = b""
        self._has_protocol_header = has_protocol_header

    def read(self, content: bytes) -> Iterator[bytes]:
        """Give the frames that are whole now, as they came; a protocol header is one too."""
        rest = self._rest + content
        at = 0
        while (length := self._length(rest, at)) is not None and at + length <= len(rest):
            yield rest[at : at + length]
            self._has_protocol_header = False
            at += length
        self._rest = rest[at:]

    def _length(self, rest: bytes, at: int) -> int | None:
        if self._has_protocol_header:
            return _PROTOCOL_HEADER_BYTES
        if len(rest) - at < _FRAME_HEADER_BYTES:
            return None
        size: int = unpack_from(">I", rest, at + 3)[0]
        return _FRAME_HEADER_BYTES + size + _FRAME_END_BYTES


@dataclass
class ProcessTrail:
    """What one process did, over all its connections: enough to know its own records again."""

    appended: deque[bytes] = field(default_factory=lambda: deque(maxlen=_RECORDS_KEPT))
    producers: set[bytes] = field(default_factory=set)


@dataclass
class _Message:
    """A message of which some frames have passed."""

    exchange: str
    size: int | None = None
    body: bytearray = field(default_factory=bytearray)

    @property
    def is_whole(self) -> bool:
        return self.size is not None and len(self.body) >= self.size


@dataclass
class _Channel:
    """What is known of one AMQP channel."""

    coming: dict[Direction, _Message] = field(default_factory=dict)
    published: int = 0
    unconfirmed: dict[int, Moment] = field(default_factory=dict)
    is_intake: bool = False
    delivered: int = 0
    unsettled: set[int] = field(default_factory=set)
    """Delivery tags of batches that were not acknowledged."""


class AmqpInspector:
    """See `Inspector`; one a connection."""

    def __init__(self, trail: ProcessTrail, prefix: str) -> None:
        self._trail = trail
        self._inbound = f"{prefix}inbound"
        self._log = f"{prefix}log"
        self._channels: dict[int, _Channel] = {}
        self.log_readers: dict[int, str] = {}
        """The consumer tag that last read a log on each AMQP channel."""
        self._readers = {
            Direction.UP: FrameReader(has_protocol_header=True),
            Direction.DOWN: FrameReader(has_protocol_header=False),
        }

    @property
    def unsettled(self) -> int:
        """How many deliveries of batches wait for their acknowledgement."""
        return sum(len(channel.unsettled) for channel in self._channels.values())

    def inspect(self, direction: Direction, content: bytes) -> list[Passage]:
        """See `Inspector.inspect`: one passage a frame."""
        frames = self._readers[direction].read(content)
        return [Passage(frame, self._look_at(direction, frame)) for frame in frames]

    def _look_at(self, direction: Direction, frame: bytes) -> Moment | None:
        kind, number = unpack_from(">BH", frame)
        payload = memoryview(frame)[_FRAME_HEADER_BYTES:-_FRAME_END_BYTES]
        channel = self._channels.setdefault(number, _Channel())
        if kind == _METHOD:
            return self._look_at_method(direction, number, payload)
        message = channel.coming.get(direction)
        if message is None or kind not in (_CONTENT_HEADER, _BODY):
            return None
        if kind == _CONTENT_HEADER:
            message.size = unpack_from(">Q", payload, 4)[0]
        else:
            message.body += payload
        if not message.is_whole:
            return None
        del channel.coming[direction]
        if direction is Direction.UP:
            return self._published(channel, message)
        return self._delivered(channel, message)

    def _look_at_method(
        self, direction: Direction, number: int, payload: memoryview
    ) -> Moment | None:
        method = unpack_from(">HH", payload)
        channel = self._channels[number]
        # What was on its way to a channel that closes comes before the answer, and is nobody's.
        if method in (_CHANNEL_OPEN, _CHANNEL_CLOSE, _CHANNEL_CLOSED):
            self._channels[number] = _Channel()
            self.log_readers.pop(number, None)
        elif method == _PUBLISH:
            channel.coming[direction] = _Message(_short_string(payload, 6)[0])
        elif method == _DELIVER:
            tag, after_tag = _short_string(payload, 4)
            exchange, _ = _short_string(payload, after_tag + 9)
            channel.coming[direction] = _Message(exchange)
            channel.delivered += 1
            if exchange == self._log:
                self.log_readers[number] = tag
        elif method == _ACK:
            delivery, bits = unpack_from(">QB", payload, 4)
            return self._acked(direction, channel, delivery, is_multiple=bool(bits & 1))
        return None

    def _published(self, channel: _Channel, message: _Message) -> Moment | None:
        channel.published += 1
        body = bytes(message.body)
        if message.exchange == self._inbound:
            producer = body.split(b'"', 4)[3:4]
            self._trail.producers.update(producer)
            channel.unconfirmed[channel.published] = Moment.SUBMITTED
            return Moment.SUBMIT
        if message.exchange != self._log:
            return None
        if body.startswith(_FENCE):
            return Moment.FENCE
        self._trail.appended.append(body)
        channel.unconfirmed[channel.published] = Moment.APPENDED
        return Moment.APPEND

    def _delivered(self, channel: _Channel, message: _Message) -> Moment | None:
        body = bytes(message.body)
        if message.exchange == self._inbound:
            channel.is_intake = True
            channel.unsettled.add(channel.delivered)
            return Moment.DELIVERY
        if message.exchange != self._log or not body.startswith(_SETTLED):
            return None
        if body in self._trail.appended:
            self._trail.appended.remove(body)
            return Moment.READ_BACK
        index = body.partition(b"\n")[0]
        if any(b'["%b",' % producer in index for producer in self._trail.producers):
            return Moment.OUTCOME
        return None

    def _acked(
        self, direction: Direction, channel: _Channel, tag: int, *, is_multiple: bool
    ) -> Moment | None:
        if direction is Direction.UP:
            settled = {
                one for one in channel.unsettled if one == tag or (is_multiple and one < tag)
            }
            channel.unsettled -= settled
            return Moment.ACK if channel.is_intake else None
        confirmed = [
            number
            for number in channel.unconfirmed
            if number == tag or (is_multiple and number < tag)
        ]
        moments = [channel.unconfirmed.pop(number) for number in confirmed]
        return moments[-1] if moments else None


def encode_cancel(number: int, consumer_tag: str) -> bytes:
    """Write the basic.cancel by which a broker says that it serves a consumer no longer."""
    tag = consumer_tag.encode()
    payload = bytes([0, 60, 0, 30, len(tag)]) + tag + b"\x01"
    return (
        (bytes([_METHOD]) + number.to_bytes(2, "big") + len(payload).to_bytes(4, "big"))
        + payload
        + b"\xce"
    )


def _short_string(payload: memoryview, at: int) -> tuple[str, int]:
    """Read a length and as many bytes; give them, and where they end."""
    start = at + 1
    end = start + payload[at]
    return str(payload[start:end], "utf-8"), end
