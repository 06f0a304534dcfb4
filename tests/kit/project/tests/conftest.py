"""The app that these tests are of."""

import pytest
from shop import app

from forebay import App


@pytest.fixture
def forebay_app() -> App:
    """See the fixture `forebay`."""
    return app
