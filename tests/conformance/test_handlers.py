"""What the team's handlers say to clients, in both encodings and over every transport."""

from collections.abc import Iterator

import aiohttp
import pytest

from tests.conformance import test_http, test_vectors
from tests.conformance.client import RawClient
from tests.conformance.conftest import Server, serving
from tests.conformance.http_client import HttpClient, PollClient, SseClient, StreamClient
from tests.conformance.protobuf import ProtobufClient
from tests.conformance.vector import Vector
from tests.conformance.vectors.handlers import VECTORS


def claim(vector: Vector) -> str:
    return vector.claim


@pytest.fixture(scope="module")
def app_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A front whose worker runs the team's app."""
    settings = {
        "FOREBAY_APP__PATH": "tests.conformance.team:app",
        "FOREBAY_APP__CONNECT_HANDLER": "true",
        "FOREBAY_CLIENT__POLL_WAIT": "1",
    }
    yield from serving(tmp_path_factory.mktemp("app"), settings)


@pytest.mark.parametrize("vector", VECTORS, ids=claim)
@pytest.mark.parametrize("kind", [RawClient, ProtobufClient])
async def test_a_client_is_told_over_a_websocket(
    vector: Vector, kind: type[RawClient], app_server: Server
) -> None:
    await test_vectors.holds(vector, kind, app_server)


@pytest.mark.parametrize("vector", VECTORS, ids=claim)
@pytest.mark.parametrize("kind", [StreamClient, SseClient, PollClient])
async def test_a_client_is_told_without_a_websocket(
    vector: Vector, kind: type[HttpClient], app_server: Server
) -> None:
    async with aiohttp.ClientSession() as http:
        client = kind(http, app_server.port)
        try:
            await test_http.holds(vector, client)
        finally:
            client.leave()
