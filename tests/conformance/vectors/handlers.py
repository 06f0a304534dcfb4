"""What the team's handlers say to clients, and have done with them; see `team`."""

import json
from typing import Any

from tests.conformance.vector import ABSENT, ANY, Vector, ask, ask_unconnected, error


def _call(method: str, data: Any = None) -> str:
    return json.dumps({"id": 2, "rpc": {"method": method, "data": data}})


def _ordered(what: str, *pushes: dict[str, Any], claim: str, close: int | None = None) -> Vector:
    told = [{"push": push} for push in pushes]
    reply = {"id": 2, "rpc": {"data": "as you say"}}
    return ask(claim, _call(f"order {what}"), reply, *told, close=close)


def _connect(who: str) -> str:
    return json.dumps({"id": 1, "connect": {"data": {"who": who}}})


VECTORS: tuple[Vector, ...] = (
    ask_unconnected(
        "a connect handler tells data and puts a client into channels",
        _connect("bob"),
        {
            "id": 1,
            "connect": {
                "client": ANY,
                "data": {"hello": "bob"},
                "subs": {"plain:of-the-team": {}},
                "expires": ABSENT,
            },
        },
    ),
    ask_unconnected(
        "a connect handler refuses with the team's error", _connect("nobody"), error(1, 700)
    ),
    ask_unconnected(
        "a connect handler ends the session with the team's code", _connect("banned"), close=4501
    ),
    ask(
        "a subscribe handler lets in whom nothing else does, and tells data",
        '{"id":2,"subscribe":{"channel":"handled:a","data":{"x":1}}}',
        {"id": 2, "subscribe": {"data": {"seat": 1}, "expires": ABSENT}},
    ),
    ask(
        "a subscribe handler refuses with the team's error",
        '{"id":2,"subscribe":{"channel":"handled:full"}}',
        error(2, 701),
    ),
    ask(
        "a private channel without a token is closed, whatever a handler would say",
        '{"id":2,"subscribe":{"channel":"$handled:a"}}',
        error(2, 103),
    ),
    ask("an rpc is answered", _call("add", [1, 2, 3]), {"id": 2, "rpc": {"data": 6}}),
    ask("an rpc is refused with the team's error", _call("refuse"), error(2, 702)),
    ask("an rpc whose data does not fit is error 401", _call("add", ["x"]), error(2, 401)),
    ask("an rpc that nobody handles is error 108", _call("dance"), error(2, 108)),
    ask(
        "a send is heard, and answered with a message if the team wishes",
        '{"send":{"data":{"x":[1]}}}',
        {"push": {"channel": ABSENT, "message": {"data": {"x": [1]}}}},
    ),
    _ordered(
        "subscribe",
        {"channel": "plain:ordered", "subscribe": {"data": {"n": 1}, "positioned": ABSENT}},
        claim="an order puts a client into a channel",
    ),
    _ordered(
        "refresh",
        {"channel": ABSENT, "refresh": {"expires": True, "ttl": ANY}},
        claim="an order changes when a session is over",
    ),
    _ordered("disconnect", claim="an order ends a session with the team's code", close=4123),
    _ordered("expire", claim="an order lets a session expire", close=3005),
    Vector(
        "an order takes a client out of a channel",
        (
            *_ordered("subscribe", {"channel": "plain:ordered", "subscribe": {}}, claim="").turns,
            *_ordered(
                "unsubscribe",
                {"channel": "plain:ordered", "unsubscribe": {"code": 2000, "reason": ANY}},
                claim="",
            ).turns,
        ),
    ),
)
