"""The one message of a one-way client, and the pushes that it brings."""

import json
from typing import Any

from tests.conformance import tokens
from tests.conformance.vector import ABSENT, ANY, Vector, ask_unconnected

ALIVE = "plain:alive"
"""What everybody who is let in follows, to be told that it still is."""


def _ask(channels: dict[str, Any] | None = None, **request: Any) -> str:
    return json.dumps({**request, "subs": {ALIVE: {}, **(channels or {})}})


def _connect(subs: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "connect": {"client": ANY, "version": ANY, "subs": {ALIVE: {}, **(subs or {})}, **fields}
    }


VECTORS: tuple[Vector, ...] = (
    ask_unconnected(
        "a client is told who it is, of pings that want no answer, and of its session",
        _ask(),
        _connect(ping=25, pong=ABSENT, session=ANY, node=ABSENT, expires=ABSENT, ttl=ABSENT),
    ),
    ask_unconnected(
        "what is asked for is told with its position",
        _ask({"one-way": {}}),
        _connect({"one-way": {"recoverable": True, "positioned": True, "epoch": ANY}}),
    ),
    ask_unconnected(
        "a position that is none of this epoch is not recovered",
        _ask({"one-way": {"recover": True, "offset": 1, "epoch": "of another time"}}),
        _connect(
            {"one-way": {"was_recovering": True, "recovered": ABSENT, "publications": ABSENT}}
        ),
    ),
    ask_unconnected(
        "a position that nothing has followed is recovered",
        _ask({"one-way": {"recover": True}}),
        _connect({"one-way": {"was_recovering": True, "recovered": True, "publications": ABSENT}}),
    ),
    ask_unconnected(
        "a wish that the namespace allows is granted, and is not without asking",
        _ask({"asked:1": {"recoverable": True, "positioned": True}, "asked:2": {}}),
        _connect({"asked:1": {"recoverable": True, "positioned": True}, "asked:2": {}}),
    ),
    ask_unconnected(
        "a token's expiry is told as a ttl",
        _ask(token=tokens.ALICE),
        _connect(expires=True, ttl=ANY),
    ),
    ask_unconnected(
        "a token's channels are followed beside those asked for",
        _ask(token=tokens.token("alice", channels=["closed:of-token"])),
        _connect({"closed:of-token": {}}),
    ),
    ask_unconnected(
        "a user is let into channels that name it",
        _ask({"few:a#alice,bob": {}}, token=tokens.ALICE),
        _connect({"few:a#alice,bob": {}}),
    ),
    ask_unconnected(
        "a subscription token opens a private channel",
        _ask({"$mine": {"token": tokens.subscription("alice", "$mine")}}, token=tokens.ALICE),
        _connect({"$mine": {"expires": True, "ttl": ANY}}),
    ),
    ask_unconnected("an expired token ends it", _ask(token=tokens.ALICE_EXPIRED), close=3005),
    ask_unconnected("a token not valid yet ends it", _ask(token=tokens.ALICE_NOT_YET), close=3005),
    ask_unconnected("a forged token ends it", _ask(token=tokens.FORGED), close=3500),
    ask_unconnected("an unsigned token ends it", _ask(token=tokens.UNSIGNED), close=3500),
    ask_unconnected("a closed namespace ends it", _ask({"closed:a": {}}), close=3507),
    ask_unconnected("a private channel ends it", _ask({"$a": {}}), close=3507),
    ask_unconnected("a channel of others ends it", _ask({"few:a#bob": {}}), close=3507),
    ask_unconnected(
        "a subscription token of another user ends it",
        _ask({"$mine": {"token": tokens.subscription("bob", "$mine")}}, token=tokens.ALICE),
        close=3500,
    ),
    ask_unconnected("an unknown namespace ends it", _ask({"nowhere:a": {}}), close=3004),
    ask_unconnected("an illegal channel name ends it", _ask({"ü": {}}), close=3004),
    ask_unconnected(
        "more channels than a session may have end it",
        _ask({f"plain:{n}": {} for n in range(4)}),
        close=3505,
    ),
    ask_unconnected("a command ends it not, for its members are unknown", _ask(id=1), _connect()),
    ask_unconnected(
        "nulls are what is left out", _ask(token=None, data=None, name=None), _connect()
    ),
    ask_unconnected("what is no object ends it", "[]", close=3501),
    ask_unconnected("what is no JSON ends it", "nonsense", close=3501),
    ask_unconnected("two requests end it", "{}\n{}", close=3501),
    ask_unconnected("a field of another type ends it", '{"subs":[]}', close=3501),
)
