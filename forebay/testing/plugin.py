"""The pytest plugin: fixtures for tests of a team's handlers, permissions and schemas.

Rules: pytest loads this in every run where Forebay is installed, so it imports nothing that a run
without these fixtures does not need.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from forebay.testing.kit import Kit
    from forebay.testing.server import Server

Settings = str | Path | Mapping[str, Any] | None


@pytest.fixture(scope="session")
def forebay_kit() -> Iterator[Kit]:
    """Servers for tests, as many as are wanted: `with forebay_kit.run(config=…) as server`."""
    from forebay.testing.kit import open_kit

    with open_kit() as kit:
        yield kit


@pytest.fixture
def forebay_config(request: pytest.FixtureRequest) -> Settings:
    """The settings of the fixture `forebay`, to be overridden: a file, or its tables as a mapping.

    As it is: forebay.toml in pytest's root folder, if there is one.
    """
    path = request.config.rootpath / "forebay.toml"
    return path if path.exists() else None


@pytest.fixture
def forebay(forebay_kit: Kit, forebay_config: Settings) -> Iterator[Server]:
    """A server of the test's own."""
    with forebay_kit.run(config=forebay_config) as server:
        yield server
