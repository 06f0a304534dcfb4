import enum
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, Field

from forebay import InvalidData
from forebay.payload import UNFIT, encode_data, encode_json, explain, reader_of, unix_seconds


class Colour(enum.Enum):
    RED = "red"


class Author(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(max_length=5)]


class Chat(msgspec.Struct):
    text: str
    authors: list[Author] = []
    colour: Colour = Colour.RED
    scores: dict[str, int] = {}


@dataclass
class Point:
    x: int
    y: int = 0


class Named(TypedDict):
    name: str


class Reading(BaseModel):
    model_config = ConfigDict(extra="forbid")
    celsius: float = Field(ge=-50, le=60)
    kind: Literal["inside", "outside"] = "inside"


def refusal(kind: Any, data: bytes) -> str:
    try:
        reader_of(kind)(data)
    except UNFIT as error:
        return explain(error).text
    raise AssertionError("it was taken")


@pytest.mark.parametrize(
    ("kind", "data", "value"),
    [
        (Chat, b'{"text":"hi"}', Chat("hi")),
        (Point, b'{"x":1}', Point(1)),
        (Named, b'{"name":"ada"}', {"name": "ada"}),
        (list[int], b"[1,2]", [1, 2]),
        (str, b'"hi"', "hi"),
        (Any, b'{"a":[null]}', {"a": [None]}),
        (bytes, b'{"a":', b'{"a":'),
        (Reading, b'{"celsius":20}', Reading(celsius=20)),
        (list[Reading], b'[{"celsius":20}]', [Reading(celsius=20)]),
        (Point | None, b"null", None),
    ],
)
def test_data_is_read_as_the_type_that_a_handler_names(kind: Any, data: bytes, value: Any) -> None:
    assert reader_of(kind)(data) == value


@pytest.mark.parametrize(
    ("kind", "data", "why"),
    [
        (Chat, b'{"text":5}', "/text: expected `str`, got `int`"),
        (Chat, b"{}", "object missing required field `text`"),
        (
            Chat,
            b'{"text":"","authors":[{"name":"a"},{"name":"secret"}]}',
            "/authors/1/name: expected `str` of length <= 5",
        ),
        (Chat, b'{"text":"","scores":{"secret":"x"}}', "/scores/...: expected `int`, got `str`"),
        (Chat, b'{"text":"","colour":"secret"}', "/colour: invalid enum value"),
        (
            Chat,
            b'{"text":"","authors":[{"name":"a","secret":1}]}',
            "/authors/0: object contains unknown field",
        ),
        (Chat, b'{"text":', "it is no JSON"),
        (Chat, b'{"text":"\xff"}', "it is no JSON"),
        (Point, b'{"x":"secret"}', "/x: expected `int`, got `str`"),
        (Reading, b'{"celsius":99}', "/celsius: input should be less than or equal to 60"),
        (Reading, b'{"celsius":1,"secret":2}', "object contains unknown field"),
        (Reading, b'{"celsius":1,"kind":"secret"}', "/kind: input should be 'inside' or 'outside'"),
        (list[Reading], b'[{"celsius":"x"}]', "/0/celsius: input should be a valid number,"),
        (Reading, b"{", "it is no JSON"),
    ],
)
def test_what_does_not_fit_is_said_with_its_place_and_without_its_value(
    kind: Any, data: bytes, why: str
) -> None:
    told = refusal(kind, data)
    assert told.startswith(f"invalid data: {why}")
    assert "secret" not in told
    assert len(told) < 250


def test_data_nested_beyond_reason_is_refused() -> None:
    assert refusal(Any, b"[" * 100_000) == "invalid data: nested too deeply"


def test_data_of_the_wrong_type_has_the_code_of_invalid_data() -> None:
    assert InvalidData("no").code == 401
    assert str(InvalidData("no")) == "401 invalid data: no"


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (Chat("hi", colour=Colour.RED), b'{"text":"hi","authors":[],"colour":"red","scores":{}}'),
        (Point(1), b'{"x":1,"y":0}'),
        (Reading(celsius=1.5), b'{"celsius":1.5,"kind":"inside"}'),
        ([Reading(celsius=1.5)], b'[{"celsius":1.5,"kind":"inside"}]'),
        ({"a": (1, None)}, b'{"a":[1,null]}'),
        (msgspec.Raw(b'{"a":\n 1}'), b'{"a":1}'),
        ([msgspec.Raw(b"[\n1]")], b"[[1]]"),
        ("line\nbreak", b'"line\\nbreak"'),
    ],
)
def test_any_value_is_written_as_json_on_one_line(value: object, data: bytes) -> None:
    assert encode_json(value) == data


@pytest.mark.parametrize("value", [b"abc", object(), {1, object()}, msgspec.Raw(b"{a"), "\ud800"])
def test_what_json_has_no_form_for_is_not_written(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode_json(value)


def test_binary_data_is_bytes_and_nothing_else() -> None:
    assert encode_data(b"\x00\n", is_binary=True) == b"\x00\n"
    with pytest.raises(TypeError, match="has to be bytes"):
        encode_data("text", is_binary=True)


def test_a_time_without_a_zone_is_no_moment() -> None:
    assert unix_seconds(datetime.fromtimestamp(1_700_000_000, UTC)) == 1_700_000_000
    assert unix_seconds(7) == 7.0
    with pytest.raises(ValueError, match="zone"):
        unix_seconds(datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused


def test_pydantic_is_not_imported_for_those_who_do_not_use_it() -> None:

    code = (
        "import sys, forebay\n"
        "from forebay import App, Publication\n"
        "app = App()\n"
        "def f(event: Publication[list[int]]) -> None: ...\n"
        "app.publish('a')(f)\n"
        "assert 'pydantic' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
