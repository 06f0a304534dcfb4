"""What does not fit a namespace's schema, and what its sender is told."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from broker.partition import Partition
from broker.record import Refused
from services.schema_file import SchemaFile, read_schema_file
from services.settings import Config, LaneConfig, NamespaceConfig
from services.wire.errors import Error, ErrorCode
from services.worker.deciding import Deciding, ToPublish, ToRefuse
from services.worker.misfit import PARTS_AT_MOST, SENTENCE_BYTES_AT_MOST
from services.worker.schemas import Schema
from tests.unit.worker.parts import publish

ID = "https://example.org/chat"


class Made(Schema):
    """A schema of a test's own."""

    def __init__(self, schema: Any) -> None:
        super().__init__(SchemaFile("chat.json", json.dumps(schema).encode()))

    def validate(self, value: Any) -> Error | None:
        return None if self.is_met(value) else self.refusal(value)


def refusal(schema: Any, value: Any) -> str:
    """What is told after "invalid data: "."""
    error = Made(schema).validate(orjson.loads(orjson.dumps(value)))
    assert error is not None
    assert (error.code, error.temporary) == (ErrorCode.INVALID_DATA.code, False)
    words, colon, why = error.message.partition(": ")
    assert (words, colon) == ("invalid data", ": ")
    return why


def test_what_fits_is_not_refused() -> None:
    schema = {"type": "object", "properties": {"text": {"type": "string", "maxLength": 500}}}
    assert Made(schema).validate({"text": "x" * 500, "more": 1}) is None


def test_a_text_that_is_too_long_is_told_with_its_place() -> None:
    schema = {"properties": {"text": {"maxLength": 500}}}
    error = Made(schema).validate({"text": "x" * 501})
    assert error is not None
    assert error.message == "invalid data: /text: longer than 500 characters"


@pytest.mark.parametrize(
    ("schema", "value", "why"),
    [
        ({"type": "string"}, 1, "not a string"),
        ({"type": ["integer", "null"]}, "x", "not an integer or null"),
        ({"type": "object"}, [], "not an object"),
        ({"const": {"a": 1}}, 2, 'not {"a":1}'),
        ({"const": "x" * 70}, 2, "not the one value that is allowed"),
        ({"enum": ["text", 1]}, 2, 'not one of "text", 1'),
        ({"enum": list(range(100))}, "x", "not one of the values that are allowed"),
        ({"enum": ["x" * 70, 1]}, "x", "not one of the values that are allowed"),
        ({"minLength": 1}, "", "shorter than 1 character"),
        ({"minLength": 2.0}, "", "shorter than 2 characters"),
        ({"maxLength": 2}, "abc", "longer than 2 characters"),
        ({"pattern": "^[a-z]+$"}, "A", "does not match ^[a-z]+$"),
        ({"pattern": f"^{'a' * 70}"}, "A", "does not match the pattern"),
        ({"format": "date-time"}, "tomorrow", "not of the format date-time"),
        ({"minimum": 5}, 4, "less than 5"),
        ({"maximum": 0.5}, 4, "greater than 0.5"),
        ({"exclusiveMinimum": 5}, 5, "not greater than 5"),
        ({"exclusiveMaximum": 5}, 5, "not less than 5"),
        ({"multipleOf": 0.01}, 1.005, "not a multiple of 0.01"),
        ({"minItems": 2}, [1], "fewer than 2 items"),
        ({"maxItems": 1}, [1, 2], "more than 1 item"),
        ({"uniqueItems": True}, [1, 1.0], "has two items that are equal"),
        ({"minProperties": 1}, {}, "fewer than 1 property"),
        ({"maxProperties": 0}, {"a": 1}, "more than 0 properties"),
        ({"required": ["a", "b"]}, {"a": 1}, '"b" is missing'),
        ({"required": ["x" * 70]}, {"a": 1}, "a property is missing"),
        ({"dependentRequired": {"z": ["q"], "a": ["b"]}}, {"a": 1}, '"b" is missing'),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1, "fits none of the alternatives"),
        ({"oneOf": [{"type": "string"}, False]}, 1, "fits none of the alternatives"),
        ({"oneOf": [True, True]}, 1, "fits more than one of the alternatives"),
        ({"not": {"type": "string"}}, "x", "is what it must not be"),
        ({"propertyNames": False}, {"ab": 1}, "has a property whose name is not allowed"),
        ({"unevaluatedProperties": False}, {"ab": 1}, "has a property that is not allowed"),
        ({"unevaluatedItems": False}, [1], "has an item that is not allowed"),
        (
            {"contains": {"type": "string"}},
            [1],
            "has too few, or too many, of the items that it must contain",
        ),
        (False, 1, "not allowed"),
        ({"$dynamicRef": "#node", "$defs": {"n": {"$dynamicAnchor": "node", "type": "null"}}}, 1,
         "does not fit the schema"),
    ],
)  # fmt: skip
def test_each_keyword_has_a_sentence(schema: Any, value: Any, why: str) -> None:
    assert refusal(schema, value) == why


KINDS = {
    "type": "object",
    "oneOf": [
        {"$ref": "#/$defs/text"},
        {"properties": {"kind": {"const": "image"}}, "required": ["url"]},
    ],
    "$defs": {"text": {"properties": {"kind": {"const": "text"}, "text": {"type": "string"}}}},
}


@pytest.mark.parametrize(
    ("schema", "value", "why"),
    [
        (
            {"properties": {"a": {"properties": {"b": {"minimum": 1}}}}},
            {"a": {"b": 0}},
            "/a/b: less than 1",
        ),
        ({"properties": {"a/b~": {"type": "null"}}}, {"a/b~": 1}, "/a~1b~0: not null"),
        ({"patternProperties": {"^x": {"type": "null"}}}, {"a": 1, "xy": 1}, "/xy: not null"),
        (
            {"properties": {"a": {}}, "patternProperties": {"x": {}}}
            | {"additionalProperties": False},
            {"a": 1, "x": 1, "c": 1},
            "/c: not allowed",
        ),
        ({"additionalProperties": {"type": "string"}}, {"a": "", "b": 1}, "/b: not a string"),
        ({"properties": {"old": False}}, {"old": 1}, "/old: not allowed"),
        ({"items": {"type": "string"}}, ["a", "b", 3], "/2: not a string"),
        ({"prefixItems": [{}, {"type": "null"}]}, [1, 2], "/1: not null"),
        ({"prefixItems": [{}], "items": False}, [1, 2], "/1: not allowed"),
        ({"allOf": [{}, {"properties": {"a": {"type": "null"}}}]}, {"a": 1}, "/a: not null"),
        ({"if": {"required": ["b"]}, "then": {"required": ["c"]}}, {"b": 1}, '"c" is missing'),
        ({"if": {"required": ["b"]}, "else": {"required": ["c"]}}, {"a": 1}, '"c" is missing'),
        ({"dependentSchemas": {"a": {"required": ["b"]}}}, {"a": 1}, '"b" is missing'),
        ({"$ref": "#/$defs/a~1%25", "$defs": {"a/%": {"type": "null"}}}, 1, "not null"),
        (
            {"properties": {"text": {"type": "string"}, "replies": {"items": {"$ref": "#"}}}},
            {"text": "a", "replies": [{"text": "b", "replies": [{"text": 1}]}]},
            "/replies/0/replies/0/text: not a string",
        ),
        (
            {"anyOf": [{"type": "null"}, {"items": {"$ref": "#"}, "type": "array"}]},
            [[None], [[1]]],
            "/1/0/0: fits none of the alternatives",
        ),
        ({"anyOf": [{"type": "null"}, {"minLength": 2, "type": "string"}]}, "a",
         "shorter than 2 characters"),
        (KINDS, {"kind": "text", "text": 1}, "/text: not a string"),
        (KINDS, {"kind": "image"}, '"url" is missing'),
        (KINDS, {"kind": "sound", "text": 1}, "fits none of the alternatives"),
        (KINDS, {"text": 1}, "fits none of the alternatives"),
        (KINDS, 1, "not an object"),
    ],
)  # fmt: skip
def test_the_place_is_told_where_a_part_is_to_blame(schema: Any, value: Any, why: str) -> None:
    assert refusal(schema, value) == why


def test_what_was_embedded_under_a_name_of_its_own_is_told_in_general_words() -> None:
    embedded = {"$id": f"{ID}/text", "$ref": "#/$defs/t", "$defs": {"t": {"type": "string"}}}
    schema = {"$id": ID, "properties": {"a": {"$ref": f"{ID}/text"}}, "$defs": {"e": embedded}}
    assert refusal(schema, {"a": 1}) == "/a: does not fit the schema"
    assert refusal({"properties": {"a": embedded}}, {"a": 1}) == "/a: does not fit the schema"


def test_a_long_or_odd_name_of_the_clients_is_left_out_of_the_place() -> None:
    schema = {"additionalProperties": {"properties": {"b": {"type": "null"}}}}
    assert refusal(schema, {"x" * 41: {"b": 1}}) == "/…/b: not null"
    assert refusal(schema, {"a\n": {"b": 1}}) == "/…/b: not null"


def test_a_long_place_is_cut() -> None:
    schema = {"additionalProperties": {"$ref": "#"}, "type": "object"}
    value: Any = 1
    for _ in range(10):
        value = {"ten letters": value}
    assert refusal(schema, value) == f"{'/ten letters' * 7}/…: not an object"


def nested(levels: int, leaf: Any) -> Any:
    value = leaf
    for _ in range(levels):
        value = {"a": value, "b": 1}
    return value


@pytest.mark.parametrize("levels", [30, 250])
def test_a_schema_that_refers_to_itself_in_all_alternatives_is_explained_all_the_same(
    levels: int,
) -> None:
    # The library's own account of it would have two to the power of `levels` parts.
    branch = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
    either = {"type": "object", "properties": {"a": {"$ref": "#"}}}
    value = nested(levels, 1)
    assert refusal({"anyOf": [branch, branch]}, value) == "fits none of the alternatives"
    assert refusal({"oneOf": [either, either]}, value) == "fits none of the alternatives"
    deep = refusal({"allOf": [branch, branch]}, value)
    assert deep.startswith("/a/a/a/")
    assert deep.endswith("/a/a: does not fit the schema")


def web(count: int) -> Any:
    """So many alternatives that each refer to all of them."""
    parts = [
        {"type": "object", "properties": {f"c{at}": {"$ref": "#/$defs/any"}}} for at in range(count)
    ]
    return {"type": "object", "$ref": "#/$defs/any", "$defs": {"any": {"oneOf": parts}}}


def test_a_small_schema_whose_parts_all_refer_to_all_is_explained() -> None:
    assert refusal(web(20), {"c3": {"c5": 1}}) == "fits more than one of the alternatives"
    assert refusal({**web(20), "maxProperties": 1}, {"c3": 1, "b": 1}) == "more than 1 property"


def test_a_large_one_is_not_gone_into() -> None:
    assert refusal(web(1_000), {"c3": 1}) == "does not fit the schema"
    assert refusal(web(1_000), 1) == "not an object"


def test_a_large_schema_without_references_is() -> None:
    many = {f"p{at}": {"properties": {"a": {"type": "null"}}} for at in range(1_000)}
    assert refusal({"properties": many}, {"p999": {"a": 1}}) == "/p999/a: not null"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=50), inner, max_size=5)
    ),
)

NAME = st.sampled_from(["a", "b", "c"])
SCHEMA = st.recursive(
    st.booleans()
    | st.sampled_from(
        [
            {"type": "string"},
            {"type": ["integer", "null"]},
            {"maxLength": 2},
            {"pattern": "^a"},
            {"maximum": 5},
            {"multipleOf": 0.5},
            {"uniqueItems": True},
            {"required": ["a"]},
            {"maxItems": 2},
            {"minProperties": 2},
            {"enum": [1, "a", None]},
            {"format": "email"},
            {"$ref": "#"},
            {"$dynamicRef": "#"},
        ]
    ),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"properties": st.dictionaries(NAME, inner, max_size=3)}),
        st.fixed_dictionaries({"patternProperties": st.dictionaries(NAME, inner, max_size=2)}),
        st.fixed_dictionaries(
            {"properties": st.dictionaries(NAME, inner, max_size=2), "additionalProperties": inner}
        ),
        st.fixed_dictionaries({"items": inner}),
        st.fixed_dictionaries({"prefixItems": st.lists(inner, min_size=1), "items": inner}),
        st.fixed_dictionaries({"contains": inner}, optional={"maxContains": st.integers(1, 2)}),
        st.fixed_dictionaries({"propertyNames": inner}),
        st.fixed_dictionaries({"not": inner}),
        st.fixed_dictionaries({"if": inner, "then": inner, "else": inner}),
        st.fixed_dictionaries({"dependentSchemas": st.dictionaries(NAME, inner, max_size=2)}),
        st.fixed_dictionaries(
            {"unevaluatedProperties": inner, "allOf": st.lists(inner, min_size=1, max_size=2)}
        ),
        *(
            st.fixed_dictionaries({keyword: st.lists(inner, min_size=1, max_size=3)})
            for keyword in ("allOf", "anyOf", "oneOf")
        ),
    ),
    max_leaves=8,
)


@given(SCHEMA, JSON | st.dictionaries(NAME, JSON))
@example({"$ref": "#"}, 1)
@example({"type": "integer", "maximum": 1}, 1e308)
@example({"multipleOf": 0.01}, 1e308)
def test_whatever_the_schema_and_the_value_there_is_an_answer(schema: Any, value: Any) -> None:
    try:
        ready = Made(schema)
    except ValueError:
        assume(False)
    error = ready.validate(orjson.loads(orjson.dumps(value)))
    if error is not None:
        assert error.message.startswith("invalid data: ")
        assert len(error.message.encode()) <= SENTENCE_BYTES_AT_MOST + len("invalid data: ")


SECRET = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x4FFF), min_size=41)


def holding(secret: str) -> list[Any]:
    return [
        secret,
        {secret: 1},
        {"a": secret},
        {"a": {secret: secret}},
        [secret],
        [[secret, secret]],
        {"a": [{"b": secret}]},
    ]


@given(SCHEMA, SECRET)
def test_no_text_of_the_clients_is_ever_told(schema: Any, secret: str) -> None:
    try:
        ready = Made(schema)
    except ValueError:
        assume(False)
    for value in holding(secret):
        error = ready.validate(value)
        if error is not None:
            assert not set(secret) & set(error.message)


def test_a_name_given_twice_counts_as_a_browser_takes_it() -> None:
    schema = Made({"properties": {"a": {"type": "string"}}})
    assert schema.validate(orjson.loads(b'{"a":1,"a":"x"}')) is None
    assert schema.validate(orjson.loads(b'{"a":"x","a":1}')) is not None


@pytest.mark.parametrize("number", [b"18446744073709551616", b"1e308", b"9" * 308, b"-1e-400"])
def test_a_number_beyond_what_a_machine_word_holds_is_judged_as_the_number_it_is(
    number: bytes,
) -> None:
    value = orjson.loads(number)
    assert Made({"type": "number"}).validate(value) is None
    assert (Made({"maximum": 1}).validate(value) is None) == (value <= 1)


def test_the_deepest_payload_that_there_is_can_be_judged() -> None:
    value: Any = 1
    for _ in range(254):
        value = [value]
    error = Made({"items": {"$ref": "#"}, "type": "array"}).validate(value)
    assert error is not None
    assert error.message.endswith("/0/0/0: does not fit the schema")


def test_who_sends_very_many_items_is_not_told_which_of_the_last_is_wrong() -> None:
    schema = {"items": {"type": "null"}}
    many = [None] * PARTS_AT_MOST
    assert refusal(schema, [*many[1:], 1]) == f"/{PARTS_AT_MOST - 1}: not null"
    assert refusal(schema, [*many, 1]) == "does not fit the schema"


def test_a_read_file_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "chat.json"
    path.write_text('{"type": "string"}')
    file = read_schema_file(str(path))
    assert file is not None
    assert read_schema_file(file) is file
    assert not Schema(file).is_met(1)


def test_a_publication_is_held_against_the_schema_of_its_namespace_alone() -> None:
    file = SchemaFile("chat.json", b'{"type": "object"}')
    config = Config(
        lanes={"main": LaneConfig(partitions=1)},
        namespace=(
            NamespaceConfig(name="chat", schema=file, history_size=1, history_ttl=60.0),
            NamespaceConfig(name="free"),
        ),
    )
    deciding = Deciding(config)
    main = Partition("main", 0)
    for channel in ("free:a", "a"):
        assert isinstance(deciding.decide(publish(channel, b"1"), main), ToPublish)
    assert isinstance(deciding.decide(publish("chat:a", b"{}"), main), ToPublish)
    refused = deciding.decide(publish("chat:a", b"1"), main)
    assert isinstance(refused, ToRefuse)
    assert refused.outcome == Refused(401, "invalid data: not an object")
    broken = deciding.decide(publish("chat:a", b"{"), main)
    assert isinstance(broken, ToRefuse)
    assert broken.outcome.code == ErrorCode.BAD_REQUEST.code
