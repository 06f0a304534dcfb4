"""The moments that a client lives through are recognised, however its frames are chunked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from tests.faults.proxy.moment import Direction, Moment, Passage
from tests.faults.proxy.websocket import WebSocketInspector

UP, DOWN = Direction.UP, Direction.DOWN

HANDSHAKES = {
    UP: b"GET /connection/websocket HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
    DOWN: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
}
PUBLISH = b'{"id":2,"publish":{"channel":"open:1","data":{"attempt":"a"}}}'
LONG = b'{"id":3,"publish":{"channel":"open:1","data":"%b"}}' % (b"x" * 70_000)

FRAMES = [
    (UP, b'{"id":1,"connect":{}}', None),
    (DOWN, b'{"id":1,"connect":{"client":"c"}}', None),
    (UP, PUBLISH, Moment.PUBLISH),
    (DOWN, b'{"id":2,"publish":{}}', Moment.REPLY),
    (UP, LONG, Moment.PUBLISH),
    (DOWN, b'{"push":{"channel":"open:1","pub":{"data":1,"offset":1}}}', Moment.PUSH),
    (DOWN, b'{"id":4,"subscribe":{"recovered":true,"publications":[]}}', Moment.RECOVERY),
    (DOWN, b"{}", None),
]


def encode(direction: Direction, text: bytes) -> bytes:
    return Frame(Opcode.TEXT, text).serialize(mask=direction is UP)


def opened() -> WebSocketInspector:
    inspector = WebSocketInspector()
    for direction, handshake in HANDSHAKES.items():
        assert inspector.inspect(direction, handshake) == [Passage(handshake)]
    return inspector


@pytest.mark.parametrize(("direction", "text", "moment"), FRAMES)
def test_a_frame_has_its_moment(direction: Direction, text: bytes, moment: Moment | None) -> None:
    sent = encode(direction, text)

    assert opened().inspect(direction, sent) == [Passage(sent, moment)]


@given(st.data())
def test_any_chunking_gives_the_same_passages(data: st.DataObject) -> None:
    inspector = opened()
    for wanted in Direction:
        sent = [encode(direction, text) for direction, text, _ in FRAMES if direction is wanted]
        together = b"".join(sent)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(together)), max_size=8)))
        passages = [
            passage
            for start, end in zip([0, *cuts], [*cuts, len(together)], strict=True)
            for passage in inspector.inspect(wanted, together[start:end])
        ]

        assert [passage.content for passage in passages] == sent
        expected = [moment for direction, _, moment in FRAMES if direction is wanted]
        assert [passage.moment for passage in passages] == expected
