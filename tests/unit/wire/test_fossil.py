"""Fossil deltas: whoever reads them by the grammar has the target again."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.wire.fossil import SOURCE_BYTES_AT_MOST, encode_delta
from tests.unit.fossil_reader import checksum, decode_delta


def holds(source: bytes, target: bytes) -> bytes | None:
    delta = encode_delta(source, target)
    if delta is not None:
        assert decode_delta(source, delta) == target
        assert len(delta) < len(target)
    return delta


# Long enough that a delta is shorter, with changes that begin or end anywhere.
ALIKE = st.tuples(
    st.text(alphabet="aé€😀", max_size=40),
    st.text(alphabet="aé€😀", max_size=5),
    st.text(alphabet="aé€😀", max_size=5),
    st.text(alphabet="aé€😀", max_size=40),
)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_delta_of_any_bytes_gives_them_again(source: bytes, target: bytes) -> None:
    holds(source, target)


@given(ALIKE)
def test_a_delta_of_text_is_text(parts: tuple[str, str, str, str]) -> None:
    start, before, after, end = parts
    delta = holds((start + before + end).encode(), (start + after + end).encode())
    if delta is not None:
        delta.decode()


# Characters of which several have a first or a last byte in common.
TEXTS = st.lists(st.text(alphabet="aéũ亀耀😀😁", min_size=10, max_size=60), min_size=3, max_size=8)


@given(TEXTS, st.data())
def test_a_delta_of_a_text_changed_in_several_places_is_text(
    texts: list[str], data: st.DataObject
) -> None:
    changed = [
        data.draw(st.sampled_from([text, text[1:], f"é{text}", text[::-1]])) for text in texts
    ]
    delta = holds("".join(texts).encode(), "".join(changed).encode())
    if delta is not None:
        delta.decode()


@given(st.binary(min_size=200, max_size=400), st.integers(1, 8))
def test_some_changed_places_make_a_delta_of_little_more_than_they_are(
    source: bytes, changes: int
) -> None:
    unlike = b"".join(b"%05d" % number + source for number in range(8))
    target = unlike
    for number in range(changes):
        target = target.replace(b"%05d" % number, b"changed %d" % number)
    delta = holds(unlike, target)
    assert delta is not None
    assert len(delta) < len(source) + 40 * changes


@given(st.binary(min_size=50, max_size=300), st.data())
def test_a_changed_place_makes_a_delta_of_little_more_than_the_change(
    source: bytes, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(source)))
    change = data.draw(st.binary(max_size=4))
    target = source[:place] + change + source[place:]
    delta = holds(source, target)
    assert delta is not None
    assert len(delta) <= len(change) + 30


@given(st.binary(min_size=1, max_size=20), st.integers(1, 200))
def test_what_repeats_is_copied_once(piece: bytes, times: int) -> None:
    holds(piece * times, piece * (times + 1))
    holds(piece * (times + 1), piece * times)


@pytest.mark.parametrize(
    ("old", "new"), [("😀", "😁"), ("亀", "耀"), ("é", "É"), ("", "é"), ("éé", "é"), ("é", "ééé")]
)
def test_characters_that_share_bytes_are_told_whole(old: str, new: str) -> None:
    source, target = (f"{'x' * 40}{each}{'y' * 40}".encode() for each in (old, new))
    delta = holds(source, target)
    assert delta is not None
    delta.decode()


def test_the_same_again_is_one_copy() -> None:
    same = json.dumps({"a": ["long"] * 30}).encode()
    delta = holds(same, same)
    assert delta is not None
    assert b":" not in delta


@pytest.mark.parametrize(
    ("source", "target"),
    [(b"", b"x" * 100), (b"a" * 100, b"b" * 100), (b"ab", b"ac"), (b"x" * 100, b""), (b"", b"")],
)
def test_there_is_no_delta_that_would_save_nothing(source: bytes, target: bytes) -> None:
    assert encode_delta(source, target) is None


def test_what_is_too_long_has_no_delta() -> None:
    longest = b"x" * SOURCE_BYTES_AT_MOST
    assert holds(longest, longest) is not None
    assert encode_delta(longest + b"x", longest) is None
    assert encode_delta(longest, longest + b"x") is None


def test_a_checksum_that_is_too_large_wraps_around() -> None:
    assert checksum(b"\xff" * 8) == 2**32 - 2
    assert holds(b"\xff" * 64, b"\xff" * 61 + b"abc") is not None
