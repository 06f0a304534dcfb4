"""What a test's clients do, and are told."""

import msgspec
import pytest

from forebay.testing import (
    Disconnected,
    Kit,
    Member,
    NotConnected,
    NotSubscribed,
    Refused,
    Server,
)
from tests.kit.settings import SETTINGS


def test_a_publication_reaches_who_subscribed_before_publish_returns(server: Server) -> None:
    alice, bob = server.client("alice"), server.client("bob")
    alice.subscribe("chat:1")
    bob.subscribe("chat:1")
    alice.publish("chat:1", {"text": "hi"})
    assert alice.refused is None
    assert alice.received("chat:1") == bob.received("chat:1") == [{"text": "hi"}]
    (publication,) = bob.publications("chat:1")
    assert publication.offset == 1
    assert publication.sender == Member("alice", alice.id)


def test_a_refusal_is_of_the_last_command(server: Server) -> None:
    client = server.client("42")
    client.publish("chat:1", "not a subscriber")
    assert client.refused == Refused(103, "permission denied")
    client.publish("nowhere:1", "hello")
    assert client.refused == Refused(102, "unknown channel")
    assert client.is_connected
    client.subscribe("chat:1")
    assert client.refused is None


def test_who_was_never_subscribed_has_received_nothing_to_compare(server: Server) -> None:
    client = server.client("42")
    with pytest.raises(NotSubscribed, match="has not subscribed to 'chat:1'"):
        client.received("chat:1")
    client.subscribe("closed:1")
    with pytest.raises(NotSubscribed, match="refused: 103 permission denied"):
        client.received("closed:1")
    client.subscribe("nowhere:1")
    with pytest.raises(NotSubscribed, match=r"102 unknown channel; .* no such \[\[namespace\]\]"):
        client.received("nowhere:1")


def test_an_anonymous_client_is_not_let_in_unless_told_so(kit: Kit, server: Server) -> None:
    stranger = server.client()
    assert not stranger.is_connected
    assert stranger.disconnected == Disconnected(3501, "bad request")
    with pytest.raises(NotConnected, match="the server ended its session"):
        stranger.publish("chat:1", "hello")
    with kit.run(permissive=True) as open_server:
        assert open_server.client().is_connected


def test_permissive_settings_are_those_of_a_development_setup(kit: Kit) -> None:
    with kit.run(permissive=True) as server:
        client = server.client()
        client.subscribe("anything")
        client.publish("anything", 1)
        assert client.received("anything") == [1]


def test_a_token_lets_in_whom_it_names(server: Server) -> None:
    client = server.client(token=server.token("42", info={"name": "Ada"}))
    client.subscribe("chat:1")
    assert client.presence("chat:1") == [Member("42", client.id, {"name": "Ada"})]
    assert server.client(token="no token").disconnected == Disconnected(3500, "invalid token")


def test_a_subscription_token_opens_a_closed_channel(server: Server) -> None:
    client = server.client("42")
    client.subscribe("closed:1", token=server.token("42", channel="closed:1"))
    assert client.refused is None
    assert client.received("closed:1") == []


def test_history_tells_what_the_channel_keeps(server: Server) -> None:
    client = server.client("42")
    with pytest.raises(Refused, match="103 permission denied"):
        client.history("chat:1")
    client.subscribe("chat:1")
    for number in range(3):
        client.publish("chat:1", number)
    assert [each.data for each in client.history("chat:1")] == [0, 1, 2]
    assert [each.data for each in client.history("chat:1", limit=1, reverse=True)] == [2]


def test_joins_and_leaves_are_pushed_to_who_asked(server: Server) -> None:
    watcher, other = server.client("1"), server.client("2")
    watcher.subscribe("chat:1", join_leave=True)
    other.subscribe("chat:1")
    other.disconnect()
    kinds = [next(iter(push.keys() - {"channel"})) for push in watcher.pushes]
    assert kinds == ["join", "join", "leave"]
    with pytest.raises(NotConnected, match="it has disconnected"):
        other.publish("chat:1", "hello")


def test_a_binary_client_publishes_and_receives_bytes(server: Server) -> None:
    one, other = server.client("1", binary=True), server.client("2", binary=True)
    other.subscribe("bytes:1")
    one.publish("bytes:1", b"\x00\xff")
    assert other.received("bytes:1") == [b"\x00\xff"]
    with pytest.raises(TypeError, match="a binary client's data is bytes, not dict"):
        one.publish("bytes:1", {})


def test_a_binary_client_sees_what_others_publish_as_json(server: Server) -> None:
    speaker, listener = server.client("1", info={"name": "Ada"}), server.client("2", binary=True)
    speaker.subscribe("chat:1")
    listener.subscribe("chat:1")
    speaker.publish("chat:1", {"text": "hi"})
    (publication,) = listener.publications("chat:1")
    assert publication.data == b'{"text":"hi"}'
    assert publication.sender == Member("1", speaker.id, {"name": "Ada"})
    assert [each.data for each in listener.history("chat:1")] == [b'{"text":"hi"}']


def test_bytes_of_a_json_client_are_a_mistake(server: Server) -> None:
    client = server.client("42")
    with pytest.raises(TypeError, match="bytes are for binary clients"):
        client.publish("chat:1", b"{}")
    client.subscribe("chat:1")
    client.publish("chat:1", msgspec.Raw(b'{"a": 1}'))
    assert client.received("chat:1") == [{"a": 1}]


def test_a_client_that_says_too_much_at_once_is_cut_off(kit: Kit) -> None:
    with kit.run(config={**SETTINGS, "client": {"message_size_limit": 1024}}) as server:
        client = server.client("42")
        client.publish("chat:1", "x" * 2_000)
        assert client.disconnected == Disconnected(1009, "message too big")
