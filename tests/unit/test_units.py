"""Durations and sizes as people write them."""

import pytest
from pydantic import TypeAdapter, ValidationError

from services.units import Bytes, Seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10m", 600),
        ("1h30m", 5400),
        ("25s", 25),
        ("1d", 86400),
        ("500ms", 0.5),
        ("2.5", 2.5),
        (7, 7),
    ],
)
def test_a_duration_is_read_as_seconds(text: object, seconds: float) -> None:
    assert TypeAdapter(Seconds).validate_python(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "10 minutes", "-5s", "1h 3", True, "1e3s", "nan", None])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Seconds).validate_python(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("16MB", 16_000_000), ("512KiB", 524288), ("1 GiB", 2**30), ("10B", 10), ("77", 77), (5, 5)],
)
def test_a_size_is_read_as_bytes(text: object, size: int) -> None:
    assert TypeAdapter(Bytes).validate_python(text) == size


@pytest.mark.parametrize("text", ["", "MB", "16 megabytes", "-1KB", "5iB", False, 1.5, None])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Bytes).validate_python(text)
