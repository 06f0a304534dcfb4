"""`subscribe`, `unsubscribe` and `sub_refresh`."""

from typing import Final

from tests.conformance import tokens
from tests.conformance.vector import ABSENT, ANY, Turn, Vector, ask, error, turn

_DONE = {"id": 2, "subscribe": {}}


def _subscribe(channel: str, more: str = "", id: int = 2) -> str:
    return f'{{"id":{id},"subscribe":{{"channel":"{channel}"{more}}}}}'


def _publish(channel: str, data: str, id: int = 2) -> str:
    return f'{{"id":{id},"publish":{{"channel":"{channel}","data":{data}}}}}'


# Long enough that what changes in it is worth telling.
_STATE: Final = '{"text":"' + "long " * 20 + '","version":%d}'


def _token(value: str) -> str:
    return f',"token":"{value}"'


def _sub_refresh(value: str, channel: str = "$room") -> str:
    return f'{{"id":3,"sub_refresh":{{"channel":"{channel}","token":"{value}"}}}}'


def _as_alice(claim: str, *turns: Turn, close: int | None = None) -> Vector:
    return Vector(claim, turns, close, {"token": tokens.ALICE})


_IN_ROOM = turn(
    _subscribe("$room", _token(tokens.subscription("alice", "$room"))),
    {"id": 2, "subscribe": {"expires": True, "ttl": ANY}},
)

VECTORS = (
    ask(
        "a subscribe where recovery works says so, and where the channel stands",
        _subscribe("fresh"),
        {
            "id": 2,
            "subscribe": {
                "recoverable": True,
                "positioned": True,
                "epoch": ANY,
                "offset": ABSENT,
                "recovered": ABSENT,
                "was_recovering": ABSENT,
                "publications": ABSENT,
            },
        },
    ),
    ask(
        "a subscribe without history has an empty result",
        _subscribe("plain:empty"),
        {"id": 2, "subscribe": {"recoverable": ABSENT, "positioned": ABSENT, "epoch": ABSENT}},
    ),
    ask(
        "what an SDK of today sends besides is no trouble",
        _subscribe(
            "plain:today",
            ',"flag":1,"recover":false,"epoch":"","offset":0,"delta":"fossil","tf":{"op":"x"},'
            '"join_leave":true,"positioned":true,"recoverable":true,"data":{"a":1}',
        ),
        {"id": 2, "subscribe": {"delta": ABSENT, "id": ABSENT}},
    ),
    ask(
        "recovery is there for whom asks, where the namespace allows it",
        _subscribe("asked:recovery", ',"recoverable":true'),
        {"id": 2, "subscribe": {"recoverable": True, "positioned": True, "epoch": ANY}},
    ),
    ask(
        "positioning is there for whom asks, where the namespace allows it",
        _subscribe("asked:positioning", ',"positioned":true'),
        {"id": 2, "subscribe": {"recoverable": ABSENT, "positioned": True, "epoch": ANY}},
    ),
    ask(
        "neither is there for whom does not ask",
        _subscribe("asked:nothing"),
        {"id": 2, "subscribe": {"recoverable": ABSENT, "positioned": ABSENT, "epoch": ABSENT}},
    ),
    Vector(
        "whom asks for deltas is told what changed, but for the first time",
        (
            turn(
                _subscribe("changes:1", ',"delta":"fossil"'),
                {"id": 2, "subscribe": {"delta": True, "recoverable": True}},
            ),
            turn(
                _publish("changes:1", _STATE % 1, 3),
                {"push": {"channel": "changes:1", "pub": {"data": ANY, "delta": ABSENT}}},
                {"id": 3, "publish": {}},
            ),
            turn(
                _publish("changes:1", _STATE % 2, 4),
                {"push": {"channel": "changes:1", "pub": {"data": ANY, "delta": True}}},
                {"id": 4, "publish": {}},
            ),
        ),
    ),
    ask(
        "deltas in a form that is not known are not told",
        _subscribe("changes:2", ',"delta":"another"'),
        {"id": 2, "subscribe": {"delta": ABSENT, "recoverable": True}},
    ),
    Vector(
        "where the newest is all that is recovered, a client gets it at its first subscribe",
        (
            turn(_publish("newest:1", '{"n":1}'), {"id": 2, "publish": {}}),
            turn(_publish("newest:1", '{"n":2}', 3), {"id": 3, "publish": {}}),
            turn(
                _subscribe("newest:1", id=4),
                {
                    "id": 4,
                    "subscribe": {
                        "recovered": True,
                        "was_recovering": ABSENT,
                        "publications": [{"data": {"n": 2}, "offset": ANY}],
                    },
                },
            ),
        ),
    ),
    Vector(
        "a client that has the newest gets nothing more",
        (
            turn(
                _subscribe("newest:none", ',"recover":true'),
                {
                    "id": 2,
                    "subscribe": {
                        "recovered": True,
                        "was_recovering": True,
                        "publications": ABSENT,
                    },
                },
            ),
        ),
    ),
    Vector(
        "a second subscribe to a channel is error 105",
        (turn(_subscribe("twice"), _DONE), turn(_subscribe("twice", id=3), error(3, 105))),
    ),
    Vector(
        "after an unsubscribe a channel can be subscribed to again",
        (
            turn(
                _subscribe("again") + '\n{"id":3,"unsubscribe":{"channel":"again"}}\n'
                '{"id":4,"subscribe":{"channel":"again"}}',
                _DONE,
                {"id": 3, "unsubscribe": {}},
                {"id": 4, "subscribe": {}},
            ),
        ),
    ),
    ask(
        "a subscription over the limit is error 106",
        "\n".join(_subscribe(f"plain:{id}", id=id) for id in range(2, 7)),
        *({"id": id, "subscribe": {}} for id in range(2, 6)),
        error(6, 106),
    ),
    ask("an unknown namespace is error 102", _subscribe("nowhere:1"), error(2, 102)),
    ask("a namespace that allows nothing is error 103", _subscribe("closed:1"), error(2, 103)),
    ask("a private channel without a token is error 103", _subscribe("$room"), error(2, 103)),
    ask(
        "a user-limited channel keeps others out with error 103",
        _subscribe("few:room#alice,bob"),
        error(2, 103),
    ),
    _as_alice(
        "a user-limited channel lets in whom it names",
        turn(_subscribe("few:room#alice,bob"), _DONE),
    ),
    ask(
        "a name that the namespace's pattern refuses is error 107",
        _subscribe("digits:x"),
        error(2, 107),
    ),
    ask("a name that the namespace's pattern knows is fine", _subscribe("digits:42"), _DONE),
    ask("a map subscription is error 108", _subscribe("plain:map", ',"type":1'), error(2, 108)),
    ask("a shared poll is error 108", _subscribe("plain:poll", ',"type":4'), error(2, 108)),
    _as_alice("a token lets into a private channel", _IN_ROOM),
    _as_alice(
        "a token's data come with the reply",
        turn(
            _subscribe("$d", _token(tokens.subscription("alice", "$d", data={"x": 1}))),
            {"id": 2, "subscribe": {"data": {"x": 1}}},
        ),
    ),
    _as_alice(
        "a forged subscription token is error 103",
        turn(
            _subscribe("$room", _token(tokens.token("alice", key="x" * 32, channel="$room"))),
            error(2, 103),
        ),
    ),
    _as_alice(
        "an expired subscription token is error 109",
        turn(
            _subscribe("$room", _token(tokens.subscription("alice", "$room", exp=1_000_000_000))),
            error(2, 109),
        ),
    ),
    _as_alice(
        "a token for another channel ends the session",
        turn(_subscribe("$other", _token(tokens.subscription("alice", "$room")))),
        close=3500,
    ),
    _as_alice(
        "a subscription token of another user ends the session",
        turn(_subscribe("$room", _token(tokens.subscription("bob", "$room")))),
        close=3500,
    ),
    _as_alice(
        "a connection token does not subscribe",
        turn(_subscribe("$room", _token(tokens.ALICE)), error(2, 103)),
    ),
    _as_alice(
        "a new subscription token refreshes",
        _IN_ROOM,
        turn(
            _sub_refresh(tokens.subscription("alice", "$room")),
            {"id": 3, "sub_refresh": {"expires": True, "ttl": ANY}},
        ),
    ),
    _as_alice(
        "an old SDK leaves the channel of a sub_refresh to the token",
        _IN_ROOM,
        turn(
            _sub_refresh(tokens.subscription("alice", "$room"), ""),
            {"id": 3, "sub_refresh": {"expires": True}},
        ),
    ),
    _as_alice(
        "a sub_refresh without a token is error 107",
        _IN_ROOM,
        turn(_sub_refresh(""), error(3, 107)),
    ),
    _as_alice(
        "a sub_refresh of what is not followed is error 103",
        turn(_sub_refresh(tokens.subscription("alice", "$room")), error(3, 103)),
    ),
    _as_alice(
        "an expired sub_refresh is error 109",
        _IN_ROOM,
        turn(_sub_refresh(tokens.subscription("alice", "$room", exp=1_000_000_000)), error(3, 109)),
    ),
    _as_alice(
        "a sub_refresh for another user ends the session",
        _IN_ROOM,
        turn(_sub_refresh(tokens.subscription("bob", "$room"))),
        close=3500,
    ),
    ask(
        "an unsubscribe from what is not followed is fine",
        '{"id":2,"unsubscribe":{"channel":"never"}}',
        {"id": 2, "unsubscribe": {}},
    ),
    ask(
        "an unsubscribe without a channel is error 107", '{"id":2,"unsubscribe":{}}', error(2, 107)
    ),
)
