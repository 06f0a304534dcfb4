"""One write a turn, and a limit on what is unsent."""

from collections.abc import Callable

import pytest

from services.front.outbox import Flusher, Outbox
from tests.unit.front.stage import Wire

LIMIT = 1000


class Loop:
    """Runs what is due at the end of a turn, or later, when told to."""

    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []
        self.later: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.due.append(callback)

    def call_later(self, _: float, callback: Callable[[], None]) -> None:
        self.later.append(callback)

    def turn(self) -> None:
        due, self.due = self.due, []
        for callback in due:
            callback()

    def pass_time(self) -> None:
        later, self.later = self.later, []
        for callback in later:
            callback()


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def flusher(loop: Loop) -> Flusher:
    return Flusher(loop.call_soon, loop.call_later)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def outbox(wire: Wire, flusher: Flusher) -> Outbox:
    return Outbox(wire, flusher, LIMIT)


def test_what_one_turn_offers_leaves_in_one_write(loop: Loop, wire: Wire, outbox: Outbox) -> None:
    assert [outbox.offer(frame) for frame in (b"a", b"b", b"c")] == [True] * 3
    assert wire.writes == []
    loop.turn()
    assert wire.writes == [b"abc"]
    outbox.offer(b"d")
    loop.turn()
    assert wire.writes == [b"abc", b"d"]


def test_a_single_frame_is_written_as_it_is(loop: Loop, wire: Wire, outbox: Outbox) -> None:
    frame = b"the same bytes for everybody"
    outbox.offer(frame)
    loop.turn()
    assert wire.writes[0] is frame


def test_one_callback_serves_all_outboxes(loop: Loop, flusher: Flusher) -> None:
    wires = [Wire() for _ in range(3)]
    for wire in wires:
        Outbox(wire, flusher, LIMIT).offer(b"x")
    assert len(loop.due) == 1
    loop.turn()
    assert [wire.writes for wire in wires] == [[b"x"]] * 3


def test_what_is_unsent_is_limited_over_both_buffers(
    loop: Loop, wire: Wire, outbox: Outbox
) -> None:
    wire.is_stalled = True
    assert outbox.offer(b"x" * 600)
    loop.turn()
    assert outbox.room_bytes == 400
    assert outbox.offer(b"x" * 300)
    assert outbox.room_bytes == 100
    assert not outbox.offer(b"x" * 101)
    assert outbox.offer(b"x" * 100)
    loop.turn()
    assert not outbox.offer(b"x")
    wire.unsent_bytes = 0
    assert outbox.offer(b"x")


def test_a_frame_larger_than_the_limit_is_not_taken(loop: Loop, outbox: Outbox) -> None:
    assert not outbox.offer(b"x" * (LIMIT + 1))
    assert loop.due == []


def test_nothing_follows_the_last_frame(loop: Loop, wire: Wire, outbox: Outbox) -> None:
    outbox.offer(b"a")
    outbox.close(b"last")
    outbox.close(b"another")
    assert not outbox.offer(b"b")
    loop.turn()
    assert wire.writes == [b"a", b"last"]


def test_a_transport_closed_meanwhile_is_not_written_to(
    loop: Loop, wire: Wire, outbox: Outbox
) -> None:
    outbox.offer(b"a")
    wire.is_closed = True
    loop.turn()
    outbox.close(b"last")
    assert wire.writes == []


def test_what_is_little_is_held_while_the_client_does_not_read(
    loop: Loop, wire: Wire, outbox: Outbox
) -> None:
    wire.unsent_bytes = 1
    for frame in (b"a", b"b"):
        assert outbox.offer(frame)
        loop.turn()
    loop.pass_time()
    assert wire.writes == []
    assert outbox.room_bytes == LIMIT - 3
    wire.unsent_bytes = 0
    loop.pass_time()
    assert wire.writes == [b"ab"]
    assert outbox.room_bytes == LIMIT
    loop.pass_time()
    assert not loop.later


def test_what_is_held_leaves_with_what_is_offered_after_the_client_has_read(
    loop: Loop, wire: Wire, outbox: Outbox
) -> None:
    wire.unsent_bytes = 1
    outbox.offer(b"a")
    loop.turn()
    wire.unsent_bytes = 0
    outbox.offer(b"b")
    loop.turn()
    assert wire.writes == [b"ab"]


def test_a_client_that_never_reads_is_written_to_rarely(
    loop: Loop, flusher: Flusher, wire: Wire
) -> None:
    limit_bytes, frame = 1 << 20, b"x" * 25
    outbox = Outbox(wire, flusher, limit_bytes)
    wire.is_stalled, wire.unsent_bytes = True, 1
    while outbox.offer(frame):
        loop.turn()
    assert limit_bytes - len(frame) < sum(map(len, wire.writes)) + 16_384
    assert len(wire.writes) <= limit_bytes // 16_384


def test_a_large_frame_is_written_as_it_is_to_a_client_that_does_not_read(
    loop: Loop, flusher: Flusher, wire: Wire
) -> None:
    outbox = Outbox(wire, flusher, 1 << 20)
    wire.is_stalled, wire.unsent_bytes = True, 1
    frame = b"x" * 4096
    outbox.offer(frame)
    loop.turn()
    assert wire.writes[0] is frame


def test_a_client_that_reads_slowly_is_judged_by_what_is_unsent_now(
    loop: Loop, wire: Wire, outbox: Outbox
) -> None:
    wire.unsent_bytes = LIMIT - 2
    assert outbox.offer(b"a")
    loop.turn()
    wire.unsent_bytes = 1
    assert outbox.offer(b"x" * (LIMIT - 2))
    assert not outbox.offer(b"b")


def test_what_is_held_goes_before_the_last_frame(loop: Loop, wire: Wire, outbox: Outbox) -> None:
    wire.unsent_bytes = 1
    outbox.offer(b"a")
    loop.turn()
    outbox.close(b"last")
    loop.pass_time()
    assert wire.writes == [b"a", b"last"]


def test_what_is_held_for_a_transport_that_closes_is_dropped(
    loop: Loop, wire: Wire, outbox: Outbox
) -> None:
    wire.unsent_bytes = 1
    outbox.offer(b"a")
    loop.turn()
    wire.is_closed = True
    loop.pass_time()
    assert wire.writes == []
    assert not loop.later
