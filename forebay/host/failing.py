"""What is said of a failure: what was raised, and where in the team's code."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from pathlib import Path
from traceback import walk_tb
from typing import Final

TEXT_CHARACTERS_AT_MOST: Final = 300
TRACE_BYTES_AT_MOST: Final = 2_048
FRAMES_AT_MOST: Final = 8

_OURS: Final = str(Path(__file__).resolve().parent.parent)
_LIBRARIES: Final = tuple(
    path
    for path in map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib"))
    if path is not None
)


def text_of(error: BaseException) -> str:
    """What was raised, in one line: `ValueError: …`."""
    error = _told(error)
    try:
        words = str(error)
    except Exception:  # noqa: BLE001 - it is the team's own `__str__`
        words = "its text cannot be had"
    kind = type(error).__name__
    text = " ".join(f"{kind}: {words}".split()) if words else kind
    text = text.encode(errors="replace").decode()  # lone surrogates cannot be written
    return (
        text if len(text) <= TEXT_CHARACTERS_AT_MOST else text[: TEXT_CHARACTERS_AT_MOST - 1] + "…"
    )


def trace_of(error: BaseException) -> str:
    """Where it was raised, innermost last: a line for each frame of the team's own code.

    If there is none of it, those of libraries; never ours.
    """
    frames = [each for each in _frames(_told(error)) if not each[0].startswith(_OURS)]
    own = [each for each in frames if not each[0].startswith(_LIBRARIES)] or frames
    here = f"{Path.cwd()}/"
    lines = [
        f"{path.removeprefix(here)}:{line} {name}".encode(errors="replace").decode()
        for path, line, name in own
    ]
    kept: list[str] = []
    room = TRACE_BYTES_AT_MOST
    for line in reversed(lines[-FRAMES_AT_MOST:]):
        room -= len(line.encode()) + 1
        if room < 0:
            break
        kept.append(line)
    return "\n".join(reversed(kept))


def _told(error: BaseException) -> BaseException:
    """The exception that matters: a task group with one failure says nothing of its own."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _frames(error: BaseException) -> Iterator[tuple[str, int, str]]:
    for frame, line in walk_tb(error.__traceback__):
        yield frame.f_code.co_filename, line, frame.f_code.co_qualname
