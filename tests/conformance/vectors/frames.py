"""Text frames that hold no command, or too many."""

from tests.conformance.vector import ask, ask_unconnected, error

# Refused at once, by the front alone.
_LIVES = '{"id":2,"subscribe":{"channel":"c","type":1}}'

VECTORS = (
    *(
        ask(f"{name} ends the session", sent, close=3501)
        for name, sent in (
            ("an empty frame", ""),
            ("a frame of a newline", "\n"),
            ("a frame of white space", " \t\r\n "),
            ("text", "hello"),
            ("half an object", '{"id":2,"rpc":{'),
            ("a closing bracket", "}"),
            ("an array", "[]"),
            ("an array of commands", "[" + _LIVES + "]"),
            ("null", "null"),
            ("a number", "5"),
            ("a string", '"connect"'),
            ("a missing comma", '{"id":2 "rpc":{}}'),
            ("brackets that do not fit", '{"id":2,"rpc":{"data":{]}}}'),
            ("a string without an end", '{"id":2,"rpc":{"data":"}}'),
            ("a byte order mark", b"\xef\xbb\xbf{}"),
            ("a null byte", b"\x00"),
            ("64 KiB of opening brackets", "[" * 65_535),
            ("64 KiB of opening braces", "{" * 65_535),
            ("64 KiB of quotes", '"' * 65_535),
            ("64 KiB of nested objects", '{"a":' * 13_000),
        )
    ),
    ask("text behind a command ends the session", _LIVES + "x", error(2, 108), close=3501),
    ask("a trailing newline is tolerated", _LIVES + "\n", error(2, 108)),
    ask("white space around a command is tolerated", " \n " + _LIVES + " \r\n\n", error(2, 108)),
    ask(
        "a newline within a command is tolerated",
        '{\n"id":2,\n"rpc":{\n}\n}\n{"id":3,"rpc":{}}',
        error(2, 108),
        error(3, 108),
    ),
    ask(
        "commands before what is none are carried out",
        _LIVES + '\n{"id":3,"history":{}}\nnonsense\n{"id":4,"history":{}}',
        error(2, 108),
        error(3, 107),
        close=3501,
    ),
    ask_unconnected(
        "a connect before what is none is carried out",
        '{"id":1,"connect":{}}\nnonsense',
        {"id": 1, "connect": {}},
        close=3501,
    ),
    ask("text that is not UTF-8 ends the session", b'{"id":2,"rpc":{"data":"\xff"}}', close=1007),
    ask("a half character ends the session", b'{"id":2,"rpc":{"data":"\xe4\xbd"}}', close=1007),
    ask(
        "an encoded surrogate ends the session",
        b'{"id":2,"rpc":{"data":"\xed\xa0\x80"}}',
        close=1007,
    ),
    ask(
        "2,048 pongs are the most in one frame",
        "\n".join(["{}"] * 2048),
    ),
    ask("10,000 pongs in one frame end the session", "\n".join(["{}"] * 10_000), close=3501),
    ask(
        "10,000 empty commands without newlines end the session",
        "{}" * 10_000,
        close=3501,
    ),
)
