"""Names of channels: only those of printable ASCII, 1 to 255 bytes, are any."""

import json

from tests.conformance.vector import ask, error

_ODD = (
    ("an empty name", ""),
    ("a name of 256 bytes", "x" * 256),
    ("a name of 60,000 bytes", "x" * 60_000),
    ("a name with a null byte", "a\x00b"),
    ("a name with a newline", "a\nb"),
    ("a name with a delete character", "a\x7fb"),
    ("a Chinese name", "房间"),
    ("a name with an emoji", "a😀"),
    ("a name that is no text", 5),
    ("a name that is a list", ["a"]),
)
_COMMANDS = ("subscribe", "publish", "history")


def _command(method: str, channel: object) -> str:
    data = {"data": 1} if method == "publish" else {}
    return json.dumps({"id": 2, method: {"channel": channel, **data}})


VECTORS = (
    *(
        ask(f"{name} is error 107 to a {method}", _command(method, channel), error(2, 107))
        for name, channel in _ODD
        for method in _COMMANDS
    ),
    *(
        ask(
            f"a {method} without a channel is error 107",
            f'{{"id":2,"{method}":{{}}}}',
            error(2, 107),
        )
        for method in ("subscribe", "publish", "history")
    ),
    *(
        ask(
            f"{name} is a name like any other",
            _command("publish", channel),
            {"id": 2, "publish": {}},
        )
        for name, channel in (
            ("a name of 255 bytes", "y" * 255),
            ("a name of wildcards", "*.>"),
            ("a name of slashes and dots", "../../etc/passwd"),
            ("a name of quotes", "\"'`\\"),
            ("a name of spaces", "  a  "),
            ("a name of markup", "<script>alert(1)</script>"),
            ("a name of format characters", "%s{0}$(x)"),
        )
    ),
    ask(
        "a name with a lone surrogate is error 107",
        '{"id":2,"subscribe":{"channel":"\\ud800"}}',
        error(2, 107),
    ),
    ask(
        "unsubscribing from no possible name is fine",
        '{"id":2,"unsubscribe":{"channel":"\\u0000"}}',
        {"id": 2, "unsubscribe": {}},
    ),
)
