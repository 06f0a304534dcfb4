"""`history`, and recovery, which reads the same."""

from tests.conformance.vector import ABSENT, ANY, Turn, Vector, ask, error, turn


def _filled(channel: str, count: int) -> tuple[Turn, ...]:
    """So many publications, one after the other."""
    return tuple(
        turn(
            f'{{"id":{id},"publish":{{"channel":"{channel}","data":{id}}}}}',
            {"id": id, "publish": {}},
        )
        for id in range(11, 11 + count)
    )


def _history(channel: str, more: str = "") -> str:
    return f'{{"id":2,"history":{{"channel":"{channel}"{more}}}}}'


def _is(offset: int, *data: int) -> dict[str, object]:
    publications = [{"data": each, "offset": ANY} for each in data]
    return {"id": 2, "history": {"publications": publications, "offset": offset, "epoch": ANY}}


def _recover(channel: str, more: str) -> str:
    return f'{{"id":2,"subscribe":{{"channel":"{channel}","recover":true{more}}}}}'


VECTORS = (
    ask("a channel nobody published to stands at 0", _history("his-0"), _is(0)),
    Vector(
        "a history of limit 0 is the position only",
        (*_filled("his-1", 2), turn(_history("his-1"), _is(2))),
    ),
    Vector(
        "a history begins at the oldest",
        (*_filled("his-2", 3), turn(_history("his-2", ',"limit":2'), _is(3, 11, 12))),
    ),
    Vector(
        "a history goes on after a position",
        (
            *_filled("his-3", 3),
            turn(_history("his-3", ',"limit":2,"since":{"offset":1,"epoch":""}'), _is(3, 12, 13)),
        ),
    ),
    Vector(
        "a reverse history begins at the newest",
        (
            *_filled("his-4", 3),
            turn(_history("his-4", ',"limit":2,"reverse":true'), _is(3, 13, 12)),
        ),
    ),
    Vector(
        "a reverse history goes on before a position",
        (
            *_filled("his-5", 3),
            turn(
                _history("his-5", ',"limit":2,"reverse":true,"since":{"offset":3,"epoch":""}'),
                _is(3, 12, 11),
            ),
        ),
    ),
    Vector(
        "a limit beyond the most is clamped",
        (*_filled("his-6", 4), turn(_history("his-6", ',"limit":100'), _is(4, 11, 12, 13))),
    ),
    Vector(
        "a negative limit is the most there may be",
        (*_filled("his-7", 4), turn(_history("his-7", ',"limit":-1'), _is(4, 11, 12, 13))),
    ),
    ask(
        "a reverse history before offset 0 is error 107",
        _history("his-8", ',"limit":1,"reverse":true,"since":{"offset":0,"epoch":""}'),
        error(2, 107),
    ),
    ask(
        "a history since another epoch is error 112",
        _history("his-9", ',"limit":1,"since":{"offset":1,"epoch":"other"}'),
        error(2, 112),
    ),
    ask("a history where none is kept is error 108", _history("plain:his"), error(2, 108)),
    ask("a history that is not allowed is error 103", _history("closed:his"), error(2, 103)),
    ask("a history of an unknown namespace is error 102", _history("nowhere:his"), error(2, 102)),
    ask(
        "a limit that is no number is error 107",
        _history("his-a", ',"limit":"all"'),
        error(2, 107),
    ),
    ask(
        "a negative offset is no position",
        _history("his-b", ',"limit":1,"since":{"offset":-5,"epoch":""}'),
        _is(0),
    ),
    Vector(
        "a client that comes back gets what it missed",
        (
            *_filled("rec-1", 3),
            turn(
                _recover("rec-1", ',"offset":1'),
                {
                    "id": 2,
                    "subscribe": {
                        "recoverable": True,
                        "positioned": True,
                        "recovered": True,
                        "was_recovering": True,
                        "offset": 1,
                        "epoch": ANY,
                        "publications": [
                            {"data": 12, "offset": 2, "info": {"user": "", "client": ANY}},
                            {"data": 13, "offset": 3},
                        ],
                    },
                },
            ),
        ),
    ),
    Vector(
        "a client that missed nothing has recovered",
        (
            *_filled("rec-2", 2),
            turn(
                _recover("rec-2", ',"offset":2'),
                {
                    "id": 2,
                    "subscribe": {
                        "recovered": True,
                        "was_recovering": True,
                        "offset": 2,
                        "publications": ABSENT,
                    },
                },
            ),
        ),
    ),
    Vector(
        "another epoch is told as not recovered, with the position of now",
        (
            *_filled("rec-3", 2),
            turn(
                _recover("rec-3", ',"offset":1,"epoch":"other"'),
                {
                    "id": 2,
                    "subscribe": {
                        "recovered": ABSENT,
                        "was_recovering": True,
                        "offset": 2,
                        "publications": ABSENT,
                        "recoverable": True,
                    },
                },
            ),
        ),
    ),
    Vector(
        "the SDKs' epoch that matches nothing matches nothing",
        (
            *_filled("rec-4", 1),
            turn(
                _recover("rec-4", ',"offset":0,"epoch":"_"'),
                {"id": 2, "subscribe": {"recovered": ABSENT, "was_recovering": True}},
            ),
        ),
    ),
    Vector(
        "more missed than the limit is told as not recovered",
        (
            *_filled("rec-5", 4),
            turn(
                _recover("rec-5", ',"offset":0'),
                {"id": 2, "subscribe": {"recovered": ABSENT, "was_recovering": True, "offset": 4}},
            ),
        ),
    ),
    ask(
        "a position beyond the end is told as not recovered",
        _recover("rec-6", ',"offset":7'),
        {"id": 2, "subscribe": {"recovered": ABSENT, "was_recovering": True, "offset": ABSENT}},
    ),
    ask(
        "a client that only wants to recover gets error 112",
        _recover("rec-7", ',"offset":7,"flag":2'),
        error(2, 112),
    ),
    ask(
        "an offset of more than 64 bits is one that is not recovered",
        _recover("rec-8", ',"offset":18446744073709551616'),
        {"id": 2, "subscribe": {"recovered": ABSENT, "was_recovering": True}},
    ),
)
