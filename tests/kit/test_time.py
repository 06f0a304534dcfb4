"""A server's time: it stands, it is turned, and what somebody waits for is not waited for."""

import time

import pytest

from forebay.testing import Disconnected, Kit, Refused, Server
from tests.kit.settings import CHAT, SETTINGS


def test_a_history_lasts_for_its_time_and_no_longer(server: Server) -> None:
    client = server.client("42")
    client.subscribe("chat:1")
    client.publish("chat:1", "hi")
    server.advance(minutes=9)
    assert len(client.history("chat:1")) == 1
    server.advance(minutes=1, seconds=10)
    assert client.history("chat:1") == []


def test_a_connection_ends_with_its_token_and_the_grace_after_it(server: Server) -> None:
    client = server.client(token=server.token("42", expires_in=60))
    server.advance(seconds=80)
    assert client.is_connected
    server.advance(seconds=10)
    assert client.disconnected == Disconnected(3005, "connection expired")


def test_a_refreshed_connection_stays(server: Server) -> None:
    client = server.client(token=server.token("42", expires_in=60))
    server.advance(seconds=50)
    client.refresh(server.token("42", expires_in=600))
    server.advance(minutes=5)
    assert client.is_connected


def test_an_old_token_lets_nobody_in(server: Server) -> None:
    token = server.token("42", expires_in=60)
    server.advance(minutes=2)
    late = server.client(token=token)
    assert late.refused == Refused(109, "token expired")
    assert not late.is_connected


def test_time_stands_unless_it_is_turned(server: Server) -> None:
    began = server.now
    client = server.client("42")
    client.subscribe("chat:1")
    client.publish("chat:1", "hi")
    assert server.now == began
    server.advance(hours=1)
    assert server.now == pytest.approx(began + 3_600)
    # A client that answers pings, as all of these do, stays for as long as it likes.
    assert client.is_connected


def test_every_server_begins_now(kit: Kit) -> None:
    with kit.run(config=SETTINGS) as server:
        server.advance(hours=2)
    with kit.run(config=SETTINGS) as server:
        assert server.now == pytest.approx(time.time(), abs=60)


def test_time_does_not_go_back(server: Server) -> None:
    with pytest.raises(ValueError, match="time does not pass by -1"):
        server.advance(seconds=-1)


def test_a_ticker_is_told_at_the_end_of_its_window(kit: Kit) -> None:
    ticker = {**CHAT, "conflate": "100ms"}
    with kit.run(config={"namespace": [ticker]}) as server:
        client = server.client("42")
        client.subscribe("chat:1")
        for price in range(5):
            client.publish("chat:1", price)
        server.advance(seconds=1)
        assert client.received("chat:1")[-1] == 4
        assert len(client.received("chat:1")) < 5


def test_a_rate_allows_again_when_its_time_has_passed(kit: Kit) -> None:
    slow = {**CHAT, "user_rate": "2/m"}
    with kit.run(config={"namespace": [slow]}) as server:
        client = server.client("42")
        client.subscribe("chat:1")
        for _ in range(2):
            client.publish("chat:1", "hi")
            assert client.refused is None
        client.publish("chat:1", "hi")
        assert client.refused is not None
        server.advance(minutes=1)
        client.publish("chat:1", "hi")
        assert client.refused is None
