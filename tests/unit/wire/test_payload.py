"""What payloads are accepted, and that they stay as they are."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.wire.payload import DEEPEST_LEVELS, one_line, validate_payload


@pytest.mark.parametrize(
    "raw",
    [
        b"null",
        b'""',
        b"1e308",
        b"9" * 300,
        b"12345678901234567890123",
        b'"\\ud83d\\ude00"',
        '"é😀"'.encode(),
        b'{"a":1,"a":2}',
        b"0." + b"1" * 3000,
        b"[" * DEEPEST_LEVELS + b"]" * DEEPEST_LEVELS,
        b"[" + b"[]," * 1000 + b"[]]",
        b'"' + b"[" * 5000 + b'"',
    ],
)
def test_json_that_every_client_reads_is_accepted(raw: bytes) -> None:
    assert validate_payload(raw) is None


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "missing"),
        (b"1e999", "too large"),
        (b"-1e999", "too large"),
        (b"9" * 401, "too large"),
        (b"9" * 5000, "too large"),
        (b"[" * 255 + b"]" * 255, "nested"),
        (b"[" * 1000 + b"]" * 1000, "nested"),
        (b'{"a":' * 100_000, "nested"),
        (b"[" * 1_000_000, "nested"),
        (b'"\\ud800"', "surrogate"),
        (b'"\\udc00"', "surrogate"),
        (b'"\xff"', "UTF-8"),
        (b'"\xed\xa0\x80"', "UTF-8"),
        (b"NaN", "not valid"),
        (b"{", "not valid"),
        (b"1 2", "not valid"),
        (b'"a\nb"', "control"),
    ],
)
def test_an_unacceptable_payload_is_refused_with_its_reason(raw: bytes, words: str) -> None:
    error = validate_payload(raw)
    assert error is not None
    assert error.code == 107
    assert not error.temporary
    assert words in error.message


@given(st.binary())
def test_no_bytes_make_the_check_fail(raw: bytes) -> None:
    if validate_payload(raw) is None:
        orjson.loads(raw)


def test_a_payload_on_one_line_is_left_alone() -> None:
    raw = b'{"a":"x\\ny"}'
    assert one_line(raw) is raw


JSON_VALUES = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(JSON_VALUES, st.sampled_from([None, 0, 1]), st.sampled_from(["\n", "\r\n"]))
def test_line_breaks_outside_strings_become_spaces(
    value: object, indent: int | None, line_break: str
) -> None:
    raw = json.dumps(value, indent=indent).replace("\n", line_break).encode()
    flat = one_line(raw)
    assert b"\n" not in flat
    assert b"\r" not in flat
    assert json.loads(flat) == value
