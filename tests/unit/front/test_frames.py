"""What the server writes is what a WebSocket implementation of others reads."""

import pytest
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader

from services.front.transports.frames import (
    frame_binary,
    frame_close,
    frame_ping,
    frame_pong,
    frame_text,
)


def read(stream: bytes) -> Frame:
    """One frame, as the `websockets` package understands it."""
    reader = StreamReader()
    reader.feed_data(stream)
    reading = Frame.parse(reader.read_exact, mask=False)
    try:
        next(reading)
    except StopIteration as end:
        frame: Frame = end.value
        assert reader.buffer == b""
        return frame
    raise AssertionError("the frame is not whole")


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
def test_a_text_frame_of_any_size(size: int) -> None:
    frame = read(frame_text(b"x" * size))
    assert (frame.opcode, frame.fin, bytes(frame.data)) == (Opcode.TEXT, True, b"x" * size)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
def test_a_binary_frame_of_any_size(size: int) -> None:
    frame = read(frame_binary(b"\x00" * size))
    assert (frame.opcode, frame.fin, bytes(frame.data)) == (Opcode.BINARY, True, b"\x00" * size)


@pytest.mark.parametrize("reason", ["", "shutdown", "x" * 123])
def test_a_close_frame_has_its_code_and_reason(reason: str) -> None:
    frame = read(frame_close(3001, reason))
    assert (frame.opcode, Close.parse(bytes(frame.data))) == (Opcode.CLOSE, Close(3001, reason))


def test_a_reason_is_cut_between_characters() -> None:
    close = Close.parse(bytes(read(frame_close(3503, "ü" * 100)).data))
    assert close.reason == "ü" * 61


def test_a_close_frame_without_a_code_is_empty() -> None:
    assert read(frame_close(0)).data == b""


def test_pings_and_pongs() -> None:
    assert read(frame_ping()).opcode is Opcode.PING
    pong = read(frame_pong(b"as it came"))
    assert (pong.opcode, bytes(pong.data)) == (Opcode.PONG, b"as it came")
