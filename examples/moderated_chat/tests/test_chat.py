"""What people in the chat see of its rules."""

import pytest
from forebay.testing import Client, Disconnected, NotConnected, Refused, Server

from app import EMPTY, MUTED, REMOVED, ROOM, SPAM, WRONG_KEY


def come(server: Server, name: str, key: str = "") -> Client:
    """Let somebody connect and follow the room."""
    client = server.client(data={"name": name, "key": key})
    client.subscribe(ROOM)
    return client


def test_what_is_said_is_read_cleaned(forebay: Server) -> None:
    ada, bo = come(forebay, "ada"), come(forebay, "bo")
    ada.publish(ROOM, {"text": "  what   the Heck "})
    (read,) = bo.publications(ROOM)
    assert read.data == {"text": "what the ****"}
    assert read.sender is not None
    assert read.sender.user == "ada"


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("get FREE MONEY here", Refused(SPAM, "no spam")),
        ("   ", Refused(EMPTY, "say something")),
        ("x" * 301, Refused(401, "invalid data: /text: expected `str` of length <= 300")),
    ],
)
def test_what_may_not_be_said_is_refused_with_the_reason(
    text: str, refusal: Refused, forebay: Server
) -> None:
    ada, bo = come(forebay, "ada"), come(forebay, "bo")
    ada.publish(ROOM, {"text": text})
    assert ada.refused == refusal
    assert bo.received(ROOM) == []


def test_who_floods_has_to_wait(forebay: Server) -> None:
    ada = come(forebay, "ada")
    for number in range(20):
        ada.publish(ROOM, {"text": f"line {number}"})
        assert ada.refused is None
    ada.publish(ROOM, {"text": "one more"})
    assert ada.refused is not None
    assert ada.refused.code == 111
    forebay.advance(3)
    ada.publish(ROOM, {"text": "one more"})
    assert ada.refused is None


def test_who_comes_later_reads_what_was_said_and_sees_who_is_there(forebay: Server) -> None:
    ada = come(forebay, "ada")
    ada.publish(ROOM, {"text": "hello"})
    bo = come(forebay, "bo")
    assert [line.data for line in bo.history(ROOM)] == [{"text": "hello"}]
    assert {member.user for member in bo.presence(ROOM)} == {"ada", "bo"}


def test_a_moderator_mutes_somebody_for_a_while(
    forebay: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.now", lambda: forebay.now)
    ada, mo = come(forebay, "ada"), come(forebay, "mo", key="owl")
    mo.rpc("mute", {"user": "ada", "minutes": 2})
    assert ada.messages == [{"notice": "you are muted, for 2 min"}]
    assert ada.received(ROOM) == [{"text": "ada was muted by mo"}]
    ada.publish(ROOM, {"text": "why?"})
    assert ada.refused == Refused(MUTED, "muted, for 2 min")
    forebay.advance(minutes=2)
    ada.publish(ROOM, {"text": "why?"})
    assert mo.received(ROOM)[-1] == {"text": "why?"}


def test_who_is_removed_is_out_and_does_not_come_back(forebay: Server) -> None:
    ada, mo = come(forebay, "ada"), come(forebay, "mo", key="owl")
    mo.rpc("remove", {"user": "ada"})
    assert ada.disconnected == Disconnected(REMOVED, "removed by a moderator")
    with pytest.raises(NotConnected):
        come(forebay, "ada")


@pytest.mark.parametrize("method", ["mute", "remove"])
def test_nobody_else_is_a_moderator(method: str, forebay: Server) -> None:
    ada = come(forebay, "ada")
    with pytest.raises(Refused, match="permission denied"):
        ada.rpc(method, {"user": "bo"})
    assert forebay.client(data={"name": "eve", "key": "cat"}).refused == Refused(
        WRONG_KEY, "this is not the moderator's key"
    )


def test_without_a_key_set_nobody_is_a_moderator(
    forebay: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHAT_MODERATOR_KEY")
    assert forebay.client(data={"name": "eve", "key": "owl"}).refused is not None
