"""Where a value does not fit a schema, and why: words for whoever sent it.

The library's own account of a misfit quotes the value and follows all alternatives at once, which
for a schema that refers to itself takes time and memory without bound. Here parts of the value are
held against parts of the schema, each only asked whether it fits, and the first that does not is
gone into.

Rules
- Sentences are ours and at most 200 bytes. Of what the client sent they have the names on the way
  to the place, short ones only; never a value.
- What is not understood is told in general words: a misfit is a misfit in any case.

Not here: whether a value fits (`schemas`).
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import orjson
from jsonschema_rs import Draft202012Validator

from services.schema_file import compile_parts, compile_schema

# The library makes each part ready together with what it refers to, so a schema that refers to
# itself takes the square of its size: of so many some 40 MB and 0.1 s, once.
PARTS_READY_AT_MOST: Final = 100_000

# Each asks about the value once more, or a part of it. Nobody reads a longer path.
LEVELS_AT_MOST: Final = 32

# Looked at in one place, of an array or object. Each takes about a microsecond.
PARTS_AT_MOST: Final = 20_000

SENTENCE_BYTES_AT_MOST: Final = 200
_PATH_LENGTH_AT_MOST: Final = 90
_NAME_LENGTH_AT_MOST: Final = 40
_QUOTE_LENGTH_AT_MOST: Final = 60

_SIMPLE_KEPT: Final = 1_024

_ROOT: Final = "#"


class _Place(NamedTuple):
    """A part of the value, and the part of the schema that it does not fit."""

    pointer: str
    schema: Any
    value: Any
    path: tuple[str | int, ...]

    def below(self, *keys: str | int) -> str:
        """The pointer of a part of this part of the schema."""
        return "/".join([self.pointer, *(_escaped(str(key)) for key in keys)])


class Misfits:
    """Explains what does not fit one schema."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._parts = compile_parts(schema) if _is_small(schema) else {}
        self._simple = lru_cache(_SIMPLE_KEPT)(_compile_simple)

    def explain(self, value: Any) -> str:
        """Say where and why a value that does not fit does not."""
        place = _Place(_ROOT, self._schema, value, ())
        why = None
        for _ in range(LEVELS_AT_MOST):
            why = self._simple_reason(place)
            deeper = None if why or not self._parts else next(self._misfits_in(place), None)
            if deeper is None:
                why = why or self._reason(place)
                break
            place = deeper
        where = _told_path(place.path)
        return _clipped(f"{where}: {why or _GENERAL}" if where else why or _GENERAL)

    # ---- what a keyword says of the value itself

    def _simple_reason(self, place: _Place) -> str | None:
        """What a keyword that has no schemas in it says against the value."""
        if not isinstance(place.schema, dict):  # but `false`, which nothing fits
            return "not allowed"
        for keyword, sentence in _SIMPLE.items():
            if keyword in place.schema and not self._is(place.schema, keyword, place.value):
                return sentence(place.schema[keyword], place.value)
        return None

    def _is(self, schema: Any, keyword: str, value: Any) -> bool:
        return self._simple(keyword, orjson.dumps(schema[keyword])).is_valid(value)

    def _reason(self, place: _Place) -> str:
        """What is left to say if no part of the value is to blame for itself."""
        schema, value = place.schema, place.value
        if not self._parts:
            return _GENERAL
        if "anyOf" in schema and not self._fitting(place, "anyOf"):
            return "fits none of the alternatives"
        if "oneOf" in schema and (fitting := self._fitting(place, "oneOf")) != 1:
            return f"fits {'more than one' if fitting else 'none'} of the alternatives"
        if "not" in schema and self._fits(place.below("not"), value):
            return "is what it must not be"
        names = place.below("propertyNames")
        if isinstance(value, dict) and not all(self._fits(names, name) for name in value):
            return "has a property whose name is not allowed"
        return next(
            (
                sentence
                for keyword, kind, sentence in _LAST
                if keyword in schema and type(value) is kind
            ),
            _GENERAL,
        )

    def _fitting(self, place: _Place, keyword: str) -> int:
        count = len(place.schema[keyword])
        return sum(self._fits(place.below(keyword, at), place.value) for at in range(count))

    def _fits(self, pointer: str, value: Any) -> bool:
        is_valid = self._parts.get(pointer)
        return is_valid is None or is_valid(value)

    # ---- on to parts

    def _misfits_in(self, place: _Place) -> Iterator[_Place]:
        """The parts of the value, or of the schema, that do not go together."""
        if "$id" in place.schema and place.pointer != _ROOT:
            return  # another document's pointers begin there
        for keyword, parts in _PARTS.items():
            if keyword not in place.schema:
                continue
            for pointer, value, path in islice(parts(self, place), PARTS_AT_MOST):
                if not self._fits(pointer, value):
                    schema = _at(self._schema, pointer)
                    if schema is not None:
                        yield _Place(pointer, schema, value, (*place.path, *path))

    def _referred(self, place: _Place) -> "_Parts":
        reference = place.schema["$ref"]
        if reference == _ROOT or reference.startswith("#/"):
            yield unquote(reference), place.value, ()

    def _all_of(self, place: _Place) -> "_Parts":
        for at in range(len(place.schema["allOf"])):
            yield place.below("allOf", at), place.value, ()

    def _meant(self, place: _Place, keyword: str) -> "_Parts":
        """The alternative that was meant, if by its type and its constants it can only be one."""
        if self._fitting(place, keyword):
            return
        pointers = [place.below(keyword, at) for at in range(len(place.schema[keyword]))]
        meant = [each for each in pointers if self._may_be_meant(each, place.value)]
        if len(meant) == 1:
            yield meant[0], place.value, ()

    def _may_be_meant(self, pointer: str, value: Any) -> bool:
        schema = _at(self._schema, pointer)
        if isinstance(schema, dict) and schema.get("$ref", "").startswith("#/"):
            schema = _at(self._schema, unquote(schema["$ref"]))
        if not isinstance(schema, dict):
            return False
        if "type" in schema and not self._is(schema, "type", value):
            return False
        return not isinstance(value, dict) or all(
            self._is(each, "const", value.get(name))
            for name, each in schema.get("properties", {}).items()
            if isinstance(each, dict) and "const" in each
        )

    def _branch(self, place: _Place) -> "_Parts":
        keyword = "then" if self._fits(place.below("if"), place.value) else "else"
        if keyword in place.schema:
            yield place.below(keyword), place.value, ()

    def _dependent(self, place: _Place) -> "_Parts":
        if isinstance(place.value, dict):
            for name in place.schema["dependentSchemas"].keys() & place.value.keys():
                yield place.below("dependentSchemas", name), place.value, ()

    def _properties(self, place: _Place) -> "_Parts":
        if isinstance(place.value, dict):
            for name in place.schema["properties"]:
                if name in place.value:
                    yield place.below("properties", name), place.value[name], (name,)

    def _patterns(self, place: _Place) -> "_Parts":
        if isinstance(place.value, dict):
            for name, value in place.value.items():
                for pattern in self._matching(place, name):
                    yield place.below("patternProperties", pattern), value, (name,)

    def _matching(self, place: _Place, name: str) -> list[str]:
        return [
            pattern
            for pattern in place.schema.get("patternProperties", ())
            if self._simple("pattern", orjson.dumps(pattern)).is_valid(name)
        ]

    def _additional(self, place: _Place) -> "_Parts":
        if not isinstance(place.value, dict):
            return
        known: Mapping[str, Any] = place.schema.get("properties", {})
        for name, value in place.value.items():
            if name not in known and not self._matching(place, name):
                yield place.below("additionalProperties"), value, (name,)

    def _prefix_items(self, place: _Place) -> "_Parts":
        if isinstance(place.value, list):
            for at, value in enumerate(place.value[: len(place.schema["prefixItems"])]):
                yield place.below("prefixItems", at), value, (at,)

    def _items(self, place: _Place) -> "_Parts":
        if isinstance(place.value, list):
            first = len(place.schema.get("prefixItems", ()))
            for at, value in enumerate(place.value[first:], first):
                yield place.below("items"), value, (at,)


_Parts = Iterator[tuple[str, Any, tuple[str | int, ...]]]

_PARTS: Final[Mapping[str, Callable[[Misfits, _Place], _Parts]]] = {
    "$ref": Misfits._referred,
    "properties": Misfits._properties,
    "patternProperties": Misfits._patterns,
    "additionalProperties": Misfits._additional,
    "prefixItems": Misfits._prefix_items,
    "items": Misfits._items,
    "allOf": Misfits._all_of,
    "if": Misfits._branch,
    "dependentSchemas": Misfits._dependent,
    "anyOf": lambda misfits, place: misfits._meant(place, "anyOf"),
    "oneOf": lambda misfits, place: misfits._meant(place, "oneOf"),
}


def _compile_simple(keyword: str, wanted: bytes) -> Draft202012Validator:
    return compile_schema({keyword: orjson.loads(wanted)})


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _at(schema: Any, pointer: str) -> Any:
    """The part of a schema that a pointer names, or None."""
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(schema, dict) and key in schema:
            schema = schema[key]
        elif isinstance(schema, list) and key.isdigit() and int(key) < len(schema):
            schema = schema[int(key)]
        else:
            return None
    return schema


def _is_small(schema: Any) -> bool:
    """Whether all parts can be made ready, each with what it refers to."""
    count = 0
    for part in _reached(schema, schema, is_followed=False):
        for _ in _reached(schema, part, is_followed=True):
            count += 1
            if count > PARTS_READY_AT_MOST:
                return False
    return True


def _reached(root: Any, part: Any, *, is_followed: bool) -> Iterator[Any]:
    """All in a part of a schema, and in what it refers to if references are followed."""
    seen: set[int] = set()
    waiting = [part]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or not isinstance(each, dict | list):
            continue
        seen.add(id(each))
        yield each
        waiting += each.values() if isinstance(each, dict) else each
        if is_followed and isinstance(each, dict):
            waiting += (_target(root, each[key]) for key in _REFERENCES if key in each)


_REFERENCES: Final = ("$ref", "$dynamicRef")


def _target(root: Any, reference: Any) -> Any:
    """What a reference names; the whole schema, where that takes a closer look."""
    if isinstance(reference, str) and reference.startswith("#/"):
        return _at(root, unquote(reference))
    return root


# ---- sentences

_GENERAL: Final = "does not fit the schema"

# One of these it must have been, nothing else being wrong.
_LAST: Final = (
    ("unevaluatedProperties", dict, "has a property that is not allowed"),
    ("contains", list, "has too few, or too many, of the items that it must contain"),
    ("unevaluatedItems", list, "has an item that is not allowed"),
)

_ARTICLES: Final = {
    "object": "an object",
    "array": "an array",
    "integer": "an integer",
    "string": "a string",
    "number": "a number",
    "boolean": "a boolean",
}


def _not_of_type(wanted: Any, value: Any) -> str:
    types = [wanted] if isinstance(wanted, str) else wanted
    return f"not {' or '.join(_ARTICLES.get(each, each) for each in types)}"


def _not_listed(wanted: Any, value: Any) -> str:
    options = ", ".join(filter(None, map(_quoted, wanted)))
    is_short = len(options) <= _QUOTE_LENGTH_AT_MOST and None not in map(_quoted, wanted)
    return f"not one of {options}" if is_short else "not one of the values that are allowed"


def _not_the_one(wanted: Any, value: Any) -> str:
    quote = _quoted(wanted)
    return f"not {quote}" if quote else "not the one value that is allowed"


def _not_matching(wanted: Any, value: Any) -> str:
    is_short = len(wanted) <= _QUOTE_LENGTH_AT_MOST
    return f"does not match {wanted}" if is_short else "does not match the pattern"


def _missing(wanted: Any, value: Any) -> str:
    return _missing_one(name for name in wanted if name not in value)


def _missing_dependent(wanted: Any, value: Any) -> str:
    return _missing_one(
        name for given in wanted if given in value for name in wanted[given] if name not in value
    )


def _missing_one(names: Iterator[str]) -> str:
    quote = _quoted(next(names))
    return f"{quote} is missing" if quote else "a property is missing"


def _compared(words: str) -> "_Sentence":
    return lambda wanted, value: f"{words} {_quoted(wanted)}"


def _counted(words: str, one: str, many: str) -> "_Sentence":
    return lambda wanted, value: f"{words} {int(wanted)} {one if wanted == 1 else many}"


def _always(words: str) -> "_Sentence":
    return lambda wanted, value: words


_Sentence = Callable[[Any, Any], str]

# In the order in which they are looked at.
_SIMPLE: Final[Mapping[str, _Sentence]] = {
    "type": _not_of_type,
    "const": _not_the_one,
    "enum": _not_listed,
    "minLength": _counted("shorter than", "character", "characters"),
    "maxLength": _counted("longer than", "character", "characters"),
    "pattern": _not_matching,
    "format": lambda wanted, value: f"not of the format {wanted}",
    "minimum": _compared("less than"),
    "maximum": _compared("greater than"),
    "exclusiveMinimum": _compared("not greater than"),
    "exclusiveMaximum": _compared("not less than"),
    "multipleOf": _compared("not a multiple of"),
    "minItems": _counted("fewer than", "item", "items"),
    "maxItems": _counted("more than", "item", "items"),
    "uniqueItems": _always("has two items that are equal"),
    "minProperties": _counted("fewer than", "property", "properties"),
    "maxProperties": _counted("more than", "property", "properties"),
    "required": _missing,
    "dependentRequired": _missing_dependent,
}


def _quoted(wanted: Any) -> str | None:
    """A value of the schema's as JSON, or None if it is too long to be told."""
    text = orjson.dumps(wanted).decode()
    return text if len(text) <= _QUOTE_LENGTH_AT_MOST else None


def _told_path(path: tuple[str | int, ...]) -> str:
    """The place as a JSON pointer (RFC 6901), what is long in it left out."""
    told = ""
    for part in path:
        name = str(part)
        if len(name) > _NAME_LENGTH_AT_MOST or not name.isprintable():
            name = "…"
        if len(told) + len(name) > _PATH_LENGTH_AT_MOST:
            return f"{told}/…"
        told += f"/{_escaped(name)}"
    return told


def _clipped(sentence: str) -> str:
    encoded = sentence.encode()
    if len(encoded) <= SENTENCE_BYTES_AT_MOST:
        return sentence
    return encoded[: SENTENCE_BYTES_AT_MOST - 3].decode("utf-8", "ignore") + "…"
