"""The pytest plugin: fixtures for tests of a team's handlers, permissions and schemas.

    def test_spam_is_refused(forebay):
        client = forebay.client("42")

Rules: pytest imports this in every run where Forebay is installed, so it is a module of its own and
imports nothing of `forebay` (40 ms) before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from forebay import App
    from forebay.testing import Kit, Server, Settings

_PACKAGES_OF_TEAMS = ("services", "broker")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Take the project's own packages for its own, where they are called as ours are.

    Those with an `__init__.py` are found first in any case; without one, an installed package of
    the same name would be.
    """
    root = early_config.rootpath
    is_ours = root.resolve() == Path(__file__).resolve().parent
    if not is_ours and any((root / name).is_dir() for name in _PACKAGES_OF_TEAMS):
        from forebay.host.loading import leave_ours_out

        leave_ours_out()


@pytest.fixture(scope="session")
def forebay_kit() -> Iterator[Kit]:
    """Servers for tests, as many as are wanted: `with forebay_kit.run(app, …) as server`."""
    from forebay.testing import open_kit

    with open_kit() as kit:
        yield kit


@pytest.fixture
def forebay_app() -> App | str | None:
    """The App of the fixture `forebay`, to be overridden.

    As it is, the one that the settings name; if they name none there are no handlers.
    """
    return None


@pytest.fixture
def forebay_config(request: pytest.FixtureRequest) -> Settings:
    """The settings of the fixture `forebay`, to be overridden: a file, or its tables as a mapping.

    As it is: forebay.toml in pytest's root folder, if there is one.
    """
    path = request.config.rootpath / "forebay.toml"
    return path if path.exists() else None


@pytest.fixture
def forebay(
    forebay_kit: Kit, forebay_app: App | str | None, forebay_config: Settings
) -> Iterator[Server]:
    """A server of the test's own."""
    with forebay_kit.run(forebay_app, config=forebay_config) as server:
        yield server
