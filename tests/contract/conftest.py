"""One node of each implementation; every test opens its own processes on it."""

from collections.abc import Awaitable, Callable

import pytest

from broker.local.node import LocalNode
from tests.contract.nodes import BrokerNode, EmbeddedNode, prepare_rabbit


@pytest.fixture(params=["embedded", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def prepare_node(request: pytest.FixtureRequest) -> Callable[[], Awaitable[BrokerNode]]:
    # Not async, since only a plain fixture can ask for async ones by their name.
    if request.param == "embedded":

        async def prepare_embedded() -> BrokerNode:
            return EmbeddedNode()

        return prepare_embedded

    rabbit: LocalNode = request.getfixturevalue("rabbit_node")
    prefix: str = request.getfixturevalue("rabbit_prefix")
    return lambda: prepare_rabbit(rabbit.amqp_url, prefix)


@pytest.fixture
async def node(prepare_node: Callable[[], Awaitable[BrokerNode]]) -> BrokerNode:
    return await prepare_node()
