"""Durations, sizes and rates as people write them: "1h30m", "16MB", "512KiB", "20/s".

Not here: which settings have them, and their bounds (`config`).
"""

from __future__ import annotations

import re
from typing import Annotated, Final, NamedTuple

from pydantic import BeforeValidator, PlainValidator

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BYTES = {
    "B": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("KMGT", 1)},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGT", 1)},
}
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+")
_RATE = re.compile(r"(\d{1,7})\s*/\s*([smh])")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?i?B)")

RATE_AT_MOST: Final = 1_000_000
"""In a rate's own second, minute or hour."""


class Rate(NamedTuple):
    """So many in so long."""

    at_most: int
    period_seconds: int

    def __str__(self) -> str:
        """As it is written."""
        return next(
            f"{self.at_most}/{unit}"
            for unit, seconds in _SECONDS.items()
            if seconds == self.period_seconds
        )


def read_duration(text: object) -> object:
    """Seconds for a duration such as "10m", "1h30m" or a bare number of seconds.

    What is neither text nor number is left for the model to refuse.

    Raises:
        ValueError: the text is no duration.
    """
    if not isinstance(text, str):
        return _number(text)
    if _NUMBER.fullmatch(text.strip()):
        return float(text)
    if not _DURATION.fullmatch(text.strip()):
        raise ValueError('write a duration such as "10m" or "1h30m", or a number of seconds')
    return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text))


def read_size(text: object) -> object:
    """Bytes for a size such as "16MB" (decimal), "512KiB" (binary) or a bare number of bytes.

    What is neither text nor number is left for the model to refuse.

    Raises:
        ValueError: the text is no size, or no whole number of bytes.
    """
    if not isinstance(text, str):
        return _number(text)
    if text.strip().isdigit():
        return int(text)
    match = _SIZE.fullmatch(text.strip().replace("k", "K"))
    if not match or match[2] == "iB":
        raise ValueError('write a size such as "16MB" or "512KiB", or a number of bytes')
    return int(float(match[1]) * _BYTES[match[2]])


def read_rate(text: object) -> Rate | None:
    """The rate that a text such as "20/s", "300/m" or "1000/h" says; an empty one is none.

    Raises:
        ValueError: the text is no rate, or one beyond the bounds.
    """
    if text is None or isinstance(text, Rate):
        return text
    if isinstance(text, str) and not text.strip():
        return None
    match = _RATE.fullmatch(text.strip()) if isinstance(text, str) else None
    if not match or not 1 <= int(match[1]) <= RATE_AT_MOST:
        raise ValueError(
            'write a rate such as "20/s", "300/m" or "1000/h",'
            f" a whole number from 1 to {RATE_AT_MOST}"
        )
    return Rate(int(match[1]), int(_SECONDS[match[2]]))


def _number(value: object) -> object:
    """The value, but not a boolean, which would pass for 0 or 1."""
    return str(value) if isinstance(value, bool) else value


Seconds = Annotated[float, BeforeValidator(read_duration)]
Bytes = Annotated[int, BeforeValidator(read_size)]
OptionalRate = Annotated[Rate | None, PlainValidator(read_rate)]
