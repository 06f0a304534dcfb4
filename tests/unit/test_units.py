"""Durations, sizes and rates as people write them."""

import pytest
from pydantic import TypeAdapter, ValidationError

from services.units import Bytes, OptionalRate, Rate, Seconds


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


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("20/s", Rate(20, 1)),
        ("300/m", Rate(300, 60)),
        (" 1000 / h ", Rate(1000, 3600)),
        ("1000000/s", Rate(1_000_000, 1)),
        ("", None),
        (None, None),
    ],
)
def test_a_rate_is_read_as_so_many_in_so_long(text: object, rate: Rate | None) -> None:
    assert TypeAdapter(OptionalRate).validate_python(text) == rate


@pytest.mark.parametrize("text", ["5", 5, "0/s", "1000001/s", "5/d", "1.5/s", "-5/s", "/s", True])
def test_what_is_no_rate_is_refused(text: object) -> None:
    with pytest.raises(ValidationError, match="20/s"):
        TypeAdapter(OptionalRate).validate_python(text)


@pytest.mark.parametrize("text", ["20/s", "300/m", "1000/h"])
def test_a_rate_is_told_as_it_was_written(text: str) -> None:
    assert str(TypeAdapter(OptionalRate).validate_python(text)) == text
