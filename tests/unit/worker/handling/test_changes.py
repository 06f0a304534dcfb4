"""When a team's code has changed."""

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from services.worker.handling import changes
from services.worker.handling.changes import folders_of, watch

LATER_NS = 10**9


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "LOOK_SECONDS", 0.005)


@pytest.fixture
async def signs(tmp_path: Path) -> AsyncGenerator[AsyncGenerator[None, None], None]:
    (tmp_path / "rooms").mkdir()
    (tmp_path / "rooms" / "chat.py").write_text("")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "venv" / "lib").mkdir(parents=True)
    (tmp_path / "venv" / "pyvenv.cfg").write_text("")
    (tmp_path / "venv" / "lib" / "library.py").write_text("")
    signs = watch([tmp_path])
    yield signs
    await signs.aclose()


def touch(path: Path) -> None:
    times = path.stat()
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + LATER_NS))


async def test_a_changed_file_is_told(tmp_path: Path, signs: AsyncGenerator[None, None]) -> None:
    touch(tmp_path / "rooms" / "chat.py")
    await anext(signs)


async def test_files_that_come_and_go_are_told(
    tmp_path: Path, signs: AsyncGenerator[None, None]
) -> None:
    (tmp_path / "new.py").write_text("")
    await anext(signs)
    (tmp_path / "new.py").unlink()
    await anext(signs)


async def test_what_is_no_code_of_the_team_is_not_told(
    tmp_path: Path, signs: AsyncGenerator[None, None]
) -> None:
    touch(tmp_path / "notes.txt")
    touch(tmp_path / "venv" / "lib" / "library.py")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "saved.py").write_text("")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await anext(signs)


def test_a_package_elsewhere_is_watched_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    (elsewhere / "teamcode").mkdir(parents=True)
    (elsewhere / "teamcode" / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(elsewhere)
    assert folders_of("teamcode.app:app") == [here, elsewhere / "teamcode"]
    assert folders_of("nowhere:app") == [here]
