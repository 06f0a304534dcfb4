"""Payloads: JSON that every subscriber can read goes through as it is, all else is error 107."""

from tests.conformance.vector import ANY, Vector, ask, error, turn


def _publish(data: str, channel: str = "plain:payload") -> str:
    return f'{{"id":2,"publish":{{"channel":"{channel}","data":{data}}}}}'


_DONE = {"id": 2, "publish": {}}
_LARGE = 60_000

_ODD = (
    ("nothing", ""),
    ("a word", "nope"),
    ("NaN", "NaN"),
    ("minus infinity", "-Infinity"),
    ("a number with a leading zero", "01"),
    ("a number that ends in its point", "1."),
    ("a number in hexadecimal", "0x1F"),
    ("a trailing comma", "[1,]"),
    ("a missing value", '{"a":}'),
    ("a key that is no string", "{1:2}"),
    ("single quotes", "'a'"),
    ("a comment", "/* */1"),
    ("an escape that is none", '"\\q"'),
    ("half an escape", '"\\u12"'),
    ("a lone surrogate", '"\\ud83d"'),
    ("a lone low surrogate", '"\\ude00"'),
    ("a lone surrogate deep in an object", '{"a":[{"b":["\\udc00"]}]}'),
    ("a lone surrogate in a key", '{"\\ud800":1}'),
    ("a lone surrogate behind 60,000 bytes", '"' + "x" * _LARGE + '\\ud800"'),
    ("a control character", '"\x01"'),
    ("a newline in a string", '"a\nb"'),
    ("a tab in a string", '"a\tb"'),
    ("1e999", "1e999"),
    ("-1e999 in an array", "[1,-1e999]"),
    ("an integer of 5,000 digits", "9" * 5000),
    ("a negative integer of 5,000 digits", "-" + "9" * 5000),
    ("an integer of 60,000 digits", "9" * _LARGE),
    ("an array 255 levels deep", "[" * 255 + "]" * 255),
    ("an array a thousand levels deep", "[" * 1000 + "]" * 1000),
    ("an object a thousand levels deep", '{"a":' * 1000 + "1" + "}" * 1000),
    ("an array 20,000 levels deep", "[" * 20_000 + "]" * 20_000),
)

_FINE = (
    ("a number", "5"),
    ("false", "false"),
    ("an empty string", '""'),
    ("an empty object", "{}"),
    ("Chinese", '"你好,服务器!"'),
    ("an emoji", '"😀"'),
    ("an emoji in escapes", '"\\ud83d\\ude00"'),
    ("a null character in an escape", '"\\u0000"'),
    ("an integer of 25 digits", "1234567890123456789012345"),
    ("a number with an exponent", "-1.5e-300"),
    ("an array 254 levels deep", "[" * 254 + "]" * 254),
    ("an object with a key twice", '{"a":1,"a":2}'),
    ("a string of 60,000 bytes", '"' + "x" * _LARGE + '"'),
)

_CHANNEL = "payload-kept"

VECTORS = (
    *(ask(f"{name} as data is error 107", _publish(data), error(2, 107)) for name, data in _ODD),
    *(ask(f"{name} as data is published", _publish(data), _DONE) for name, data in _FINE),
    Vector(
        "newlines outside strings do not reach the subscribers",
        (
            turn(_publish('{\n"a":\r\n[1,\n2]}', _CHANNEL), _DONE),
            turn(
                f'{{"id":3,"history":{{"channel":"{_CHANNEL}","limit":1}}}}',
                {"id": 3, "history": {"publications": [{"data": {"a": [1, 2]}, "offset": ANY}]}},
            ),
        ),
    ),
    ask(
        "an odd payload spoils only its own command",
        _publish("1") + "\n" + '{"id":3,"publish":{"channel":"plain:payload","data":"\\ud800"}}',
        error(3, 107),
        _DONE,
    ),
    ask(
        "odd data of an rpc is error 107",
        '{"id":2,"rpc":{"data":"\\ud800"}}',
        error(2, 107),
    ),
    ask("odd data of a send ends the session", '{"send":{"data":"\\ud800"}}', close=3501),
    ask(
        "an odd token is error 107",
        '{"id":2,"subscribe":{"channel":"c","token":5}}',
        error(2, 107),
    ),
    ask(
        "of data given twice the last counts",
        '{"id":2,"publish":{"channel":"plain:payload","data":NaN,"data":1}}',
        error(2, 107),
    ),
)
