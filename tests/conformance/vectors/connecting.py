"""`connect` and `refresh`: tokens, order, lifecycle."""

from typing import Any

from tests.conformance import tokens
from tests.conformance.vector import ABSENT, ANY, Turn, Vector, ask, ask_unconnected, error, turn

_RESULT: dict[str, Any] = {"client": ANY, "version": ANY, "ping": 25, "pong": True}
_LIVING = {"id": 1, "connect": _RESULT}


def _connect(token: str) -> str:
    return f'{{"id":1,"connect":{{"token":"{token}"}}}}'


def _refresh(token: str) -> str:
    return f'{{"id":2,"refresh":{{"token":"{token}"}}}}'


def _as_alice(claim: str, *turns: Turn, close: int | None = None) -> Vector:
    return Vector(claim, turns, close, {"token": tokens.ALICE})


VECTORS = (
    ask_unconnected(
        "a connect without a token has no expiry",
        '{"id":1,"connect":{}}',
        {"id": 1, "connect": {**_RESULT, "expires": ABSENT, "ttl": ABSENT}},
    ),
    ask_unconnected(
        "a connect may have every field there is",
        '{"id":7,"connect":{"token":"","data":{"a":1},"name":"js","version":"1","flag":3,'
        '"profile":"p","dict":"d","headers":{"a":"b"},"subs":{"x":{"recover":true,"offset":1,'
        '"epoch":"e"}},"of_tomorrow":[1]}}',
        {"id": 7, "connect": {"client": ANY}},
    ),
    ask_unconnected(
        "a token's expiry is told as a ttl",
        _connect(tokens.ALICE),
        {"id": 1, "connect": {"expires": True, "ttl": ANY}},
    ),
    ask_unconnected(
        "a token without expiry holds for ever",
        _connect(tokens.ALICE_FOR_EVER),
        {"id": 1, "connect": {"expires": ABSENT, "ttl": ABSENT}},
    ),
    ask_unconnected(
        "subscribes in the frame of the connect are carried out after it",
        '{"connect":{},"id":1}\n{"subscribe":{"channel":"plain:with-connect"},"id":2}\n',
        _LIVING,
        {"id": 2, "subscribe": {}},
    ),
    ask_unconnected("an expired token is error 109", _connect(tokens.ALICE_EXPIRED), error(1, 109)),
    ask_unconnected(
        "a token that is not valid yet is error 109", _connect(tokens.ALICE_NOT_YET), error(1, 109)
    ),
    ask_unconnected(
        "what stands behind a refused connect in its frame is discarded silently",
        _connect(tokens.ALICE_EXPIRED) + '\n{"id":2,"rpc":{}}',
        error(1, 109),
    ),
    Vector(
        "a command after a refused connect ends the session",
        (turn(_connect(tokens.ALICE_EXPIRED), error(1, 109)), turn('{"id":2,"rpc":{}}')),
        3501,
        None,
    ),
    Vector(
        "a connect after a refused one ends the session",
        (turn(_connect(tokens.ALICE_EXPIRED), error(1, 109)), turn(_connect(tokens.ALICE))),
        3501,
        None,
    ),
    ask_unconnected("a forged token ends the session", _connect(tokens.FORGED), close=3500),
    ask_unconnected("an unsigned token ends the session", _connect(tokens.UNSIGNED), close=3500),
    ask_unconnected("a token that is none ends the session", _connect("x.y.z"), close=3500),
    ask_unconnected(
        "a subscription token does not connect",
        _connect(tokens.subscription("alice", "c")),
        close=3500,
    ),
    ask("a second connect ends the session", '{"id":2,"connect":{}}', close=3501),
    ask_unconnected(
        "a second connect in one frame ends the session",
        '{"id":1,"connect":{}}\n{"id":2,"connect":{}}',
        _LIVING,
        close=3501,
    ),
    *(
        ask_unconnected(f"{name} before connect ends the session", command, close=3501)
        for name, command in (
            ("a subscribe", '{"id":1,"subscribe":{"channel":"c"}}'),
            ("a publish", '{"id":1,"publish":{"channel":"c","data":1}}'),
            ("an rpc", '{"id":1,"rpc":{}}'),
            ("a send", '{"send":{"data":1}}'),
            ("a pong", "{}"),
            ("an odd connect", '{"id":1,"connect":{"token":5}}'),
            ("an odd subscribe", '{"id":1,"subscribe":{"channel":5}}'),
            ("a connect without an id", '{"connect":{}}'),
        )
    ),
    ask_unconnected(
        "nulls in a connect are what is left out",
        '{"id":1,"connect":{"token":null,"data":null,"subs":null,"name":null,"headers":null}}',
        _LIVING,
    ),
    _as_alice(
        "a new token of the same user refreshes",
        turn(
            _refresh(tokens.token("alice")),
            {"id": 2, "refresh": {"client": ANY, "version": ANY, "expires": True, "ttl": ANY}},
        ),
    ),
    _as_alice("a refresh without a token is error 107", turn(_refresh(""), error(2, 107))),
    _as_alice(
        "an expired refresh ends the session", turn(_refresh(tokens.ALICE_EXPIRED)), close=3005
    ),
    _as_alice(
        "a refresh for another user ends the session", turn(_refresh(tokens.BOB)), close=3500
    ),
    _as_alice("a forged refresh ends the session", turn(_refresh(tokens.FORGED)), close=3500),
    ask_unconnected(
        "a token's channels are told with the connect reply",
        _connect(tokens.token("alice", channels=["plain:one", "told"])),
        {
            "id": 1,
            "connect": {
                "subs": {
                    "plain:one": {"recoverable": ABSENT, "epoch": ABSENT},
                    "told": {"recoverable": True, "positioned": True, "epoch": ANY},
                }
            },
        },
    ),
    ask_unconnected(
        "a token's subs bring data",
        _connect(tokens.token("alice", subs={"plain:one": {"data": {"a": 1}}})),
        {"id": 1, "connect": {"subs": {"plain:one": {"data": {"a": 1}}}}},
    ),
    ask_unconnected(
        "a token that puts its client into a channel of no namespace is error 102",
        _connect(tokens.token("alice", channels=["nowhere:x"])),
        error(1, 102),
    ),
    ask_unconnected(
        "a token with an illegal channel is error 107",
        _connect(tokens.token("alice", channels=[""])),
        error(1, 107),
    ),
    ask_unconnected(
        "a token with more channels than a session may have ends it",
        _connect(tokens.token("alice", channels=[f"plain:{n}" for n in range(5)])),
        close=3505,
    ),
    Vector(
        "a channel that the token brought cannot be subscribed to again",
        (turn('{"id":2,"subscribe":{"channel":"plain:one"}}', error(2, 105)),),
        None,
        {"token": tokens.token("alice", channels=["plain:one"])},
    ),
    Vector(
        "a refresh with other channels has the client connect again",
        (turn(_refresh(tokens.token("alice", channels=["plain:two"]))),),
        3010,
        {"token": tokens.token("alice", channels=["plain:one"])},
    ),
)
