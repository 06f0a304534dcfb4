"""The kit under test, without its pytest plugin: that one is tested as a team would use it."""

from collections.abc import Iterator

import pytest

from forebay.testing import Kit, Server, open_kit
from tests.kit.settings import SETTINGS

collect_ignore = ["project"]  # a team's, with its own pytest: see `test_project`


@pytest.fixture(scope="session")
def kit() -> Iterator[Kit]:
    with open_kit() as kit:
        yield kit


@pytest.fixture
def server(kit: Kit) -> Iterator[Server]:
    with kit.run(config=SETTINGS) as server:
        yield server
