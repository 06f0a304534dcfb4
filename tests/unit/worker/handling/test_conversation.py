"""Frames on a socket, in whatever pieces, and what ends a conversation."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from forebay.link import FRAME_BYTES_AT_MOST, LENGTH, Answers, Ready, Tasks, ToWorker, encode
from services.worker.handling.conversation import CLOSED, Conversation

READY = Ready([])
PASSED = Answers([1, 2], [])


class Talk:
    """Both ends: the worker's, and a bare socket in the place of a process."""

    def __init__(self) -> None:
        ours, self.app = socket.socketpair()
        self.heard: list[ToWorker] = []
        self.over: list[str] = []
        self.room = asyncio.Event()
        self.worker = Conversation(ours, self.heard.append, self.over.append, self.room.set)

    async def until_read(self) -> None:
        """Let the loop see what the process has said."""
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
async def talk() -> AsyncIterator[Talk]:
    talk = Talk()
    yield talk
    talk.worker.close()
    talk.app.close()


async def test_frames_are_heard_in_whatever_pieces_they_come(talk: Talk) -> None:
    for byte in encode(READY) + encode(PASSED):
        talk.app.send(bytes([byte]))
        talk.worker.read()
    talk.app.send(encode(PASSED) + encode(PASSED)[:5])
    talk.worker.read()
    talk.app.send(encode(PASSED)[5:])
    talk.worker.read()
    assert talk.heard == [READY, PASSED, PASSED, PASSED]
    assert talk.over == []


async def test_the_loop_tells_of_what_has_come(talk: Talk) -> None:
    talk.app.send(encode(READY))
    await talk.until_read()
    assert talk.heard == [READY]


async def test_what_the_process_does_not_read_waits_and_is_told_as_no_room(talk: Talk) -> None:
    frame = encode(Tasks([])) * 200_000
    talk.worker.say(frame)
    assert not talk.worker.has_room
    talk.worker.say(b"more")
    received = b""
    while len(received) < len(frame) + 4:
        received += await asyncio.to_thread(talk.app.recv, 65_536)
    assert received == frame + b"more"
    await asyncio.wait_for(talk.room.wait(), 5.0)
    assert talk.worker.has_room


@pytest.mark.parametrize(
    "nonsense",
    [
        LENGTH.pack(FRAME_BYTES_AT_MOST + 1),
        LENGTH.pack(3) + b"\xc1\xc1\xc1",
        LENGTH.pack(0),
        b"Traceback (most recent call last):",
        encode(Tasks([])),
    ],
)
async def test_what_is_no_message_ends_it_and_nothing_after_it_is_heard(
    talk: Talk, nonsense: bytes
) -> None:
    talk.app.send(encode(READY) + nonsense + encode(PASSED))
    talk.worker.read()
    talk.worker.read_last()
    assert talk.heard == [READY]
    assert talk.over == ["what it said is no message"]


async def test_a_closed_socket_ends_it_after_its_last_words(talk: Talk) -> None:
    talk.app.send(encode(PASSED))
    talk.app.close()
    talk.worker.read_last()
    assert (talk.heard, talk.over) == ([PASSED], [CLOSED])


async def test_what_is_said_to_a_closed_socket_is_lost_without_a_word(talk: Talk) -> None:
    talk.app.close()
    talk.worker.say(encode(Tasks([])))
    assert talk.worker.has_room
