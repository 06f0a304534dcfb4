"""Tells when the team's code changes, for `--reload`.

Rules
- Looks at times of modification once a second, in a thread: that needs no library, and sees what
  editors, version control and mounted folders do alike.
- Looks at Python files below the working folder, and below the app's package if that lies
  elsewhere; not at installed libraries.

Not here: what is done about it (`crew`).
"""

import asyncio
import importlib.util
import os
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path

import structlog

_log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
FILES_AT_MOST = 20_000
"""Beyond, changes go unseen, which is said: looking at so many takes half a second of a core."""

_NOT_CODE = frozenset(("__pycache__", "node_modules", "site-packages", "dist-packages"))
_VIRTUAL_ENVIRONMENT = "pyvenv.cfg"

Times = dict[str, int]


def folders_of(app: str) -> list[Path]:
    """Where a team's code is, as far as can be told without importing it."""
    here = Path.cwd().resolve()
    package = app.partition(":")[0].partition(".")[0]
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    places = (spec.submodule_search_locations if spec else None) or ()
    elsewhere = [Path(place).resolve() for place in places]
    return [here, *(each for each in elsewhere if not each.is_relative_to(here))]


def watch(folders: Sequence[Path]) -> AsyncGenerator[None, None]:
    """Give a sign whenever Python files have changed, come or gone since now; several are one."""
    before = _times(folders)
    if len(before) >= FILES_AT_MOST:
        _log.warning("too many files to watch", at_most=FILES_AT_MOST)
    return _signs(folders, before)


async def _signs(folders: Sequence[Path], before: Times) -> AsyncGenerator[None, None]:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = await asyncio.to_thread(_times, folders)
        if now != before:
            before = now
            yield


def _times(folders: Sequence[Path]) -> Times:
    times: Times = {}
    for folder in folders:
        for path in _python_files(str(folder)):
            if len(times) >= FILES_AT_MOST:
                return times
            try:
                times[path] = os.stat(path).st_mtime_ns
            except OSError:  # gone since it was listed
                continue
    return times


def _python_files(folder: str) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        if _VIRTUAL_ENVIRONMENT in files:
            folders.clear()
            continue
        # In order, so that with too many files they are always the same.
        folders[:] = sorted(
            name for name in folders if name not in _NOT_CODE and not name.startswith(".")
        )
        for name in sorted(files):
            if name.endswith(".py"):
                yield os.path.join(parent, name)
