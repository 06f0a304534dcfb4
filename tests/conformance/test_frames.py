"""Frames of the WebSocket protocol, right and wrong (RFC 6455)."""

import pytest

from tests.conformance.client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    CUT_OFF,
    PING,
    PONG,
    TEXT,
    ConnectionEnded,
    RawClient,
    frame,
    raw_client,
)
from tests.conformance.conftest import Server

pytestmark = pytest.mark.usefixtures("undisturbed")

LIMIT = 65_536
# Refused at once, by the front alone.
ASK = b'{"id":2,"subscribe":{"channel":"c","type":1}}'
REFUSED = {
    "id": 2,
    "error": {"code": 108, "message": "not available: only stream subscriptions are served"},
}


async def answer(client: RawClient, *frames: bytes) -> object:
    """What comes for some frames in a connected session: a reply, or the code of the end."""
    await client.begin()
    client.send(b"".join(frames))
    try:
        return await client.line()
    except ConnectionEnded as end:
        return end.code


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ((frame(ASK),), REFUSED),
        ((frame(ASK[:5], is_final=False), frame(ASK[5:], CONTINUATION)), REFUSED),
        (
            (
                frame(ASK[:5], is_final=False),
                frame(b"x", PING),
                frame(b"", CONTINUATION, is_final=False),
                frame(ASK[5:], CONTINUATION),
            ),
            REFUSED,
        ),
        ((frame(b"x", PONG), frame(ASK)), REFUSED),
        ((frame(ASK + b" " * (LIMIT - len(ASK))),), REFUSED),
        ((frame(ASK, BINARY),), 3501),
        ((frame(b"", BINARY),), 3501),
        ((frame(ASK + b" " * (LIMIT + 1 - len(ASK))),), 1009),
        ((frame(b"{}", declared=LIMIT + 1),), 1009),
        ((frame(b"", declared=1 << 62),), 1009),
        ((frame(b"x" * 40_000, is_final=False), frame(b"x" * 40_000, CONTINUATION)), 1009),
        # RFC 6455 §5.1 asks for a close. aiohttp reads it; a browser never sends one.
        ((frame(ASK, is_masked=False),), REFUSED),
        ((frame(ASK, reserved=4),), 1002),
        ((frame(ASK, reserved=1),), 1002),
        ((frame(ASK, 0x3),), 1002),
        ((frame(ASK, 0xB),), 1002),
        ((frame(ASK, CONTINUATION),), 1002),
        ((frame(b"{", is_final=False), frame(b"{}", TEXT)), 1002),
        ((frame(b"x", PING, is_final=False),), 1002),
        ((frame(b"x" * 126, PING),), 1002),
        ((frame(b"", declared=1 << 63),), (1002, 1009)),
        ((frame((1000).to_bytes(2, "big") + b"bye", CLOSE),), 1000),
        ((frame((4321).to_bytes(2, "big"), CLOSE),), 4321),
        ((frame(b"", CLOSE),), 1005),
        ((frame(b"\x03", CLOSE),), 1002),
        ((frame((1005).to_bytes(2, "big"), CLOSE),), 1002),
        ((frame((1006).to_bytes(2, "big"), CLOSE),), 1002),
        ((frame((5000).to_bytes(2, "big"), CLOSE),), 1002),
        ((frame((1000).to_bytes(2, "big") + b"\xff", CLOSE),), (1002, 1007)),
        ((frame(b"\xff"),), 1007),
        ((frame(b'"\xed\xa0\x80"'),), 1007),
        ((frame(b'"\xc3', is_final=False), frame(b'"', CONTINUATION)), 1007),
    ],
    ids=[
        "a text frame",
        "a message in two fragments",
        "a ping between fragments",
        "a pong nobody asked for",
        "exactly 64 KiB",
        "a binary frame",
        "an empty binary frame",
        "one byte more than 64 KiB",
        "a length over 64 KiB, without the bytes",
        "a length of exabytes",
        "fragments of over 64 KiB together",
        "a frame without a mask",
        "a frame with RSV1",
        "a frame with RSV3",
        "an unknown opcode",
        "an unknown control opcode",
        "a continuation of nothing",
        "a message within a message",
        "a fragmented ping",
        "a ping of 126 bytes",
        "a length with its highest bit set",
        "a close",
        "a close with a code of its own",
        "a close without a code",
        "a close of one byte",
        "a close with a code that may not be sent",
        "a close with a code for a connection that was cut off",
        "a close with a code beyond all",
        "a close with words that are not UTF-8",
        "a text that is not UTF-8",
        "a text with a surrogate",
        "a text whose last character is cut short, in fragments",
    ],
)
async def test_a_frame_gets_what_the_rfc_names(
    frames: tuple[bytes, ...], expected: object, server: Server
) -> None:
    async with raw_client(server.port) as client:
        got = await answer(client, *frames)
    assert got in expected if isinstance(expected, tuple) else got == expected


async def test_a_ping_is_answered_with_its_words(server: Server) -> None:
    async with raw_client(server.port) as client:
        await client.begin()
        client.send(frame(b"are you there", PING))
        got = await client.frame()
        assert (got.opcode, got.payload) == (PONG, b"are you there")


@pytest.mark.parametrize(
    ("wrong", "code"),
    [(frame(ASK, reserved=1), 1002), (frame(b"", declared=1 << 62), 1009), (frame(b"\xff"), 1007)],
    ids=["no frame", "a message too large", "a text that is not UTF-8"],
)
async def test_what_was_asked_before_is_answered_before_a_close_and_nothing_follows(
    wrong: bytes, code: int, server: Server
) -> None:
    async with raw_client(server.port) as client:
        await client.begin()
        client.send(frame(ASK) * 3 + wrong + frame(ASK))
        for _ in range(3):
            assert await client.line() == REFUSED
        with pytest.raises(ConnectionEnded) as end:
            await client.line()
        assert end.value.code == code
        with pytest.raises(ConnectionEnded) as cut:
            await client.frame()
        assert cut.value.code == CUT_OFF


async def test_nothing_follows_a_close(server: Server) -> None:
    async with raw_client(server.port) as client:
        await client.begin()
        client.send(frame((1000).to_bytes(2, "big"), CLOSE) + frame(ASK) * 3 + frame(b"", PING))
        assert (await client.frame()).opcode == CLOSE
        with pytest.raises(ConnectionEnded) as end:
            await client.frame()
        assert end.value.code == CUT_OFF


async def test_half_a_frame_is_waited_for(server: Server) -> None:
    async with raw_client(server.port) as client:
        await client.begin()
        whole = frame(ASK)
        for position in range(len(whole)):
            client.send(whole[position : position + 1])
            await client.drain()
        assert await client.line() == REFUSED
