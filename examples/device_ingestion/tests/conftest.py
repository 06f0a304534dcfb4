"""The app under test, with a database of its own."""

from pathlib import Path

import pytest
from forebay import App

from app import app


@pytest.fixture
def database_path(tmp_path: Path) -> Path:
    """Where the app of this test writes."""
    return tmp_path / "devices.db"


@pytest.fixture
def forebay_app(database_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """See the fixture `forebay`."""
    monkeypatch.setenv("DEVICES_DB", str(database_path))
    return app
