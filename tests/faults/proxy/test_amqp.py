"""The moments of a batch's way are recognised from the frames alone, however they are chunked."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import body, commands, frame, header

from broker.batch import NO_SENDER, Entry, EntryKind, encode_batch
from broker.record import Fence, Outcomes, Published, encode_fence, encode_settled
from tests.faults.proxy.amqp import AmqpInspector, ProcessTrail, encode_cancel
from tests.faults.proxy.moment import Direction, Moment

UP, DOWN = Direction.UP, Direction.DOWN
PREFIX = "t."
FRAME_BYTES = 40

BATCH = encode_batch("p1", 1, [Entry(EntryKind.PUBLISH, "open:1", NO_SENDER, b'{"a":1}')])
FENCE = encode_fence(Fence(1, "w1", "n1", "e1", 4, 1_700_000_000))


def record_of(producer: str) -> bytes:
    published = Published("open:1", 0, 1, 7)
    return encode_settled(3, 1_700_000_000_000, [Outcomes(producer, 1, 1, 0, [published])], [b"{}"])


RECORD = record_of("p1")


def content(method: frame.FrameTypes, text: bytes, channel: int) -> bytes:
    """A message as a client or broker with a small frame size sends it."""
    parts: list[frame.FrameTypes] = [method, header.ContentHeader(body_size=len(text))]
    parts += [
        body.ContentBody(text[at : at + FRAME_BYTES]) for at in range(0, len(text), FRAME_BYTES)
    ]
    return b"".join(frame.marshal(part, channel) for part in parts)


def publish(role: str, text: bytes, channel: int = 1) -> bytes:
    return content(commands.Basic.Publish(0, f"{PREFIX}{role}", "main.0"), text, channel)


def deliver(role: str, text: bytes, tag: int, channel: int = 1) -> bytes:
    method = commands.Basic.Deliver("ctag", tag, False, f"{PREFIX}{role}", "main.0")
    return content(method, text, channel)


def ack(tag: int, channel: int = 1, *, is_multiple: bool = False) -> bytes:
    return frame.marshal(commands.Basic.Ack(tag, is_multiple), channel)


BEGINNING = (UP, b"AMQP\x00\x00\x09\x01" + frame.marshal(commands.Channel.Open(), 1))

WORKER_PUBLISHING = [
    BEGINNING,
    (UP, publish("log", FENCE) + publish("bus", b"{}", 2)),
    (DOWN, ack(1)),
    (UP, publish("log", RECORD)),
    (UP, publish("tops", b"a snapshot")),
    (DOWN, ack(3, is_multiple=True)),
]
WORKER_CONSUMING = [
    BEGINNING,
    (DOWN, deliver("inbound", BATCH, 1)),
    (DOWN, deliver("log", RECORD, 1, 2)),
    (UP, ack(1)),
    (DOWN, deliver("log", record_of("p2"), 2, 2)),
    (UP, ack(2, 2, is_multiple=True)),
]
FRONT = [
    BEGINNING,
    (UP, publish("inbound", BATCH)),
    (DOWN, ack(1)),
    (DOWN, deliver("log", record_of("p2"), 1, 2)),
    (DOWN, deliver("log", RECORD, 2, 2)),
]

Conversation = list[tuple[Direction, bytes]]


def moments(trail: ProcessTrail, conversation: Conversation) -> Iterator[Moment]:
    inspector = AmqpInspector(trail, PREFIX)
    for direction, text in conversation:
        for passage in inspector.inspect(direction, text):
            if passage.moment is not None:
                yield passage.moment


def test_a_workers_way_has_its_moments() -> None:
    trail = ProcessTrail()

    assert [*moments(trail, WORKER_PUBLISHING)] == [Moment.FENCE, Moment.APPEND, Moment.APPENDED]
    assert [*moments(trail, WORKER_CONSUMING)] == [Moment.DELIVERY, Moment.READ_BACK, Moment.ACK]


def test_a_fronts_way_has_its_moments() -> None:
    assert [*moments(ProcessTrail(), FRONT)] == [Moment.SUBMIT, Moment.SUBMITTED, Moment.OUTCOME]


def test_a_record_of_another_is_not_ones_own_read_back() -> None:
    assert Moment.READ_BACK not in [*moments(ProcessTrail(), WORKER_CONSUMING)]


def test_a_delivery_is_unsettled_until_its_acknowledgement() -> None:
    inspector = AmqpInspector(ProcessTrail(), PREFIX)
    for direction, text in WORKER_CONSUMING[:3]:
        inspector.inspect(direction, text)
    assert inspector.unsettled == 1

    inspector.inspect(UP, ack(1))

    assert inspector.unsettled == 0


def test_what_a_closed_channel_held_is_not_unsettled_any_more() -> None:
    inspector = AmqpInspector(ProcessTrail(), PREFIX)
    for direction, text in WORKER_CONSUMING[:2]:
        inspector.inspect(direction, text)

    inspector.inspect(UP, frame.marshal(commands.Channel.Close(200, "", 0, 0), 1))
    inspector.inspect(DOWN, deliver("inbound", BATCH, 2))
    inspector.inspect(DOWN, frame.marshal(commands.Channel.CloseOk(), 1))

    assert inspector.unsettled == 0


@pytest.mark.parametrize("conversation", [WORKER_PUBLISHING, WORKER_CONSUMING, FRONT])
@given(st.data())
def test_any_chunking_gives_the_same_bytes_and_moments(
    conversation: Conversation, data: st.DataObject
) -> None:
    trail, other_trail = ProcessTrail(), ProcessTrail()
    list(moments(trail, WORKER_PUBLISHING))
    list(moments(other_trail, WORKER_PUBLISHING))
    whole = AmqpInspector(trail, PREFIX)
    chunked = AmqpInspector(other_trail, PREFIX)
    for direction, text in conversation:
        expected = whole.inspect(direction, text)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
        passages = [
            passage
            for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)
            for passage in chunked.inspect(direction, text[start:end])
        ]

        assert passages == expected
        assert b"".join(passage.content for passage in passages) == text


def test_a_cancel_in_the_brokers_name_is_read_as_one() -> None:
    _, channel, cancel = frame.unmarshal(encode_cancel(3, "ctag1.0"))

    assert channel == 3
    assert isinstance(cancel, commands.Basic.Cancel)
    assert cancel.consumer_tag == "ctag1.0"
    assert cancel.nowait
