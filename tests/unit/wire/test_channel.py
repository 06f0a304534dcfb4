"""The grammar of channel names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.wire.channel import Channel, parse_channel
from services.wire.errors import Refusal


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("news", ("", False, None)),
        ("chat:1", ("chat", False, None)),
        ("chat:1:2", ("chat", False, None)),
        ("$chat:1", ("chat", True, None)),
        ("$1", ("", True, None)),
        (":x", ("", False, None)),
        ("#42", ("", False, ("42",))),
        ("ns:thread#42,43", ("ns", False, ("42", "43"))),
        ("a#b#c", ("", False, ("c",))),
        ("a b/c*", ("", False, None)),
    ],
)
def test_a_name_is_split_into_its_parts(
    name: str, parts: tuple[str, bool, tuple[str, ...] | None]
) -> None:
    assert parse_channel(name) == Channel(name, *parts)


@pytest.mark.parametrize("name", ["", "x" * 256, "é", "a\nb", "a\x00", "\x7f", "\ud800"])
def test_an_illegal_name_is_refused(name: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_channel(name)
    assert caught.value.error.code == 107


@given(st.text())
def test_any_text_is_a_channel_or_refused(name: str) -> None:
    try:
        channel = parse_channel(name)
    except Refusal:
        return
    assert channel.name == name
    assert 1 <= len(name.encode()) <= 255


def test_a_user_limited_name_admits_only_those_it_names() -> None:
    channel = parse_channel("ns:thread#42,43")
    assert [channel.admits(user) for user in ("42", "43", "4", "")] == [True, True, False, False]
    assert parse_channel("x").admits("")
