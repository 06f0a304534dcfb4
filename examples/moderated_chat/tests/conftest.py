"""The app under test, with a book of its own."""

from pathlib import Path

import pytest
from forebay import App

from app import app


@pytest.fixture
def forebay_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """See the fixture `forebay`."""
    monkeypatch.setenv("CHAT_BOOK", str(tmp_path / "chat.db"))
    monkeypatch.setenv("CHAT_MODERATOR_KEY", "owl")
    return app
