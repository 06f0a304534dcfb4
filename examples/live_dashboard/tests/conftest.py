"""The app under test."""

import pytest
from forebay import App

from app import app


@pytest.fixture
def forebay_app() -> App:
    """See the fixture `forebay`."""
    return app
