"""Nothing of the client library's errors passes the border; each means one of ours."""

import asyncio

import pytest
from aiormq.exceptions import (
    AMQPConnectionError,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    DeliveryError,
)
from pamqp.commands import Basic

from broker.errors import BrokerUnavailable, SubmitRefused, TopologyProblem
from broker.rabbitmq.connection import translating_amqp_errors

MEANINGS: list[tuple[BaseException, type[Exception]]] = [
    (DeliveryError(None, Basic.Nack(1)), SubmitRefused),
    (ChannelNotFoundEntity("no queue"), TopologyProblem),
    (ChannelNotFoundEntity("home node is down or inaccessible"), BrokerUnavailable),
    (AMQPConnectionError("closed"), BrokerUnavailable),
    (ChannelInvalidStateError("closed"), BrokerUnavailable),
    (ConnectionResetError(), BrokerUnavailable),
    (TimeoutError(), BrokerUnavailable),
    (StopAsyncIteration(), BrokerUnavailable),  # closed before the broker said anything
    (asyncio.CancelledError(), BrokerUnavailable),
]


@pytest.mark.parametrize(("error", "meaning"), MEANINGS)
async def test_an_error_of_the_client_library_means_one_of_ours(
    error: BaseException, meaning: type[Exception]
) -> None:
    with pytest.raises(meaning), translating_amqp_errors():
        raise error
