"""What the shop's handlers, permissions and schema do."""

import pytest
from shop import PRICES

from forebay.testing import Refused, Server


def test_spam_is_refused(forebay: Server) -> None:
    client, other = forebay.client("42"), forebay.client("43")
    client.subscribe("chat:1")
    other.subscribe("chat:1")
    client.publish("chat:1", {"text": "buy spam"})
    assert client.refused == Refused(500, "no spam")
    client.publish("chat:1", {"text": "hi"})
    assert other.received("chat:1") == [{"text": "hi"}]


def test_only_who_is_there_may_speak(forebay: Server) -> None:
    client = forebay.client("42")
    client.publish("chat:1", {"text": "hi"})
    assert client.refused == Refused(103, "permission denied")


def test_long_lines_are_refused(forebay: Server) -> None:
    client = forebay.client("42")
    client.subscribe("chat:1")
    client.publish("chat:1", {"text": "x" * 501})
    assert client.refused is not None
    assert client.refused.message.endswith("/text: longer than 500 characters")


def test_prices_are_patched_where_they_are_used(
    forebay: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = forebay.client("42")
    assert client.rpc("price", "tea") == 3
    monkeypatch.setitem(PRICES, "tea", 4)
    assert client.rpc("price", "tea") == 4
