"""`publish`, and what subscribers get of it."""

from tests.conformance import tokens
from tests.conformance.vector import ABSENT, ANY, Vector, ask, error, turn


def _publish(channel: str, data: str = "1", id: int = 2) -> str:
    return f'{{"id":{id},"publish":{{"channel":"{channel}","data":{data}}}}}'


_DONE = {"id": 2, "publish": {}}

VECTORS = (
    ask("a publish is answered with an empty result", _publish("pub-1"), _DONE),
    ask("a publish without history is answered too", _publish("plain:pub"), _DONE),
    ask("a publish in a queued namespace is answered too", _publish("queued:pub"), _DONE),
    Vector(
        "what was published is read back with its sender and offset",
        (
            turn(_publish("pub-3", '{"a": 1.50}'), _DONE),
            turn(
                '{"id":3,"history":{"channel":"pub-3","limit":1}}',
                {
                    "id": 3,
                    "history": {
                        "publications": [
                            {
                                "data": {"a": 1.5},
                                "offset": 1,
                                "info": {"user": "alice", "client": ANY},
                                "tags": ABSENT,
                            }
                        ],
                        "offset": 1,
                        "epoch": ANY,
                    },
                },
            ),
        ),
        None,
        {"token": tokens.ALICE},
    ),
    ask("a publish into an unknown namespace is error 102", _publish("nowhere:1"), error(2, 102)),
    ask("a publish that is not allowed is error 103", _publish("closed:1"), error(2, 103)),
    ask(
        "a publish by one who must subscribe first is error 103",
        _publish("subscribers:a"),
        error(2, 103),
    ),
    ask("a publish into a private channel is error 103", _publish("$room"), error(2, 103)),
    ask(
        "a publish of a kind that is not served is error 108",
        '{"id":2,"publish":{"channel":"pub-4","data":1,"type":1,"key":"k"}}',
        error(2, 108),
    ),
    ask(
        "a publish without data is error 107",
        '{"id":2,"publish":{"channel":"pub-4"}}',
        error(2, 107),
    ),
    ask("null is data like any other", _publish("pub-5", "null"), _DONE),
    ask("a publish that fits its schema is answered", _publish("checked:1", '{"text":"a"}'), _DONE),
    ask(
        "a publish that does not fit its schema is error 401, with the place",
        _publish("checked:1", f'{{"text":"{"x" * 501}"}}'),
        {
            "id": 2,
            "error": {
                "code": 401,
                "message": "invalid data: /text: longer than 500 characters",
                "temporary": ABSENT,
            },
        },
    ),
    Vector(
        "a publish over the rate of its user is error 111, which is temporary",
        (
            turn(_publish("rare:1"), _DONE),
            turn(
                _publish("rare:1", id=3),
                {"id": 3, "error": {"code": 111, "message": ANY, "temporary": True}},
            ),
        ),
    ),
)
