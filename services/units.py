"""Durations and sizes as people write them: "1h30m", "25s", "16MB", "512KiB".

Not here: which settings have them, and their bounds (`config`).
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BYTES = {
    "B": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("KMGT", 1)},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGT", 1)},
}
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?i?B)")


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


def _number(value: object) -> object:
    """The value, but not a boolean, which would pass for 0 or 1."""
    return str(value) if isinstance(value, bool) else value


Seconds = Annotated[float, BeforeValidator(read_duration)]
Bytes = Annotated[int, BeforeValidator(read_size)]
