"""Data of clients <-> values of the team's types.

Rules
- What does not fit is said with where it is and what it should be, never with what it was: a
  client's values do not belong into errors and logs.
- pydantic is asked only about types of its own, and not imported before somebody else has.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final, get_args

import msgspec
import msgspec.inspect

from forebay.outcome import InvalidData

Read = Callable[[bytes], Any]

# Made once: a union written where it is used is made at each call, which costs as much as encoding.
_BYTES: Final = (bytes, bytearray, memoryview)

# Everything that decoders raise for data they cannot take; pydantic's is a ValueError.
UNFIT: Final = (msgspec.DecodeError, ValueError, RecursionError)

_WHY_CHARACTERS_AT_MOST: Final = 200
_PLACE: Final = re.compile(r" - at `(?:key in )?\$(.*)`$")
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
# Of msgspec's sentences, those in which a value or a key of the client's stands.
_QUOTES: Final = re.compile(r"^(Invalid enum value|Object contains unknown field|Invalid value) .*")

# The same of pydantic's, by what it calls them.
_WITHOUT_QUOTES: Final = {"json_invalid": "it is no JSON", "union_tag_invalid": "no such tag"}

_read_json: Final = msgspec.json.Decoder().decode


def read_bytes(data: bytes) -> bytes:
    """Data as it was sent, unparsed."""
    return data


def reader_of(kind: Any) -> Read:
    """A function that reads data into values of a type; it raises what `UNFIT` lists.

    Raises:
        TypeError: data cannot be read into this type.
    """
    if kind is bytes:
        return read_bytes
    if kind is Any or kind is object:
        return _read_json
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and _is_of_pydantic(kind, pydantic.BaseModel):
        read: Read = pydantic.TypeAdapter(kind).validate_json
        return read
    if (unknown := _unknown_in(msgspec.inspect.type_info(kind), set())) is not None:
        raise TypeError(f"nothing reads JSON into {unknown!r}")
    return msgspec.json.Decoder(kind).decode


def _unknown_in(part: object, seen: set[int]) -> object:
    """A type within a type that msgspec does not know, and takes for anything of that class."""
    if isinstance(part, msgspec.inspect.CustomType):
        return part.cls
    if id(part) in seen:  # types may hold themselves
        return None
    seen.add(id(part))
    if isinstance(part, tuple | list):
        parts: Iterable[object] = part
    elif isinstance(part, msgspec.inspect.Type | msgspec.inspect.Field):
        parts = (getattr(part, name) for name in part.__struct_fields__)
    else:
        return None
    found = (_unknown_in(each, seen) for each in parts)
    return next((each for each in found if each is not None), None)


def _is_of_pydantic(kind: Any, model: type) -> bool:
    if isinstance(kind, type) and issubclass(kind, model):
        return True
    return any(_is_of_pydantic(part, model) for part in get_args(kind))


def explain(error: Exception) -> InvalidData:
    """The refusal for what a reader raised."""
    if isinstance(error, msgspec.ValidationError):
        why = _explain_msgspec(str(error))
    elif hasattr(error, "errors"):
        why = _explain_pydantic(error.errors(include_url=False, include_input=False)[0])
    elif isinstance(error, RecursionError):
        why = "nested too deeply"
    else:
        why = "it is no JSON"
    return InvalidData(why[:_WHY_CHARACTERS_AT_MOST])


def _explain_msgspec(text: str) -> str:
    steps: list[str] = []
    if found := _PLACE.search(text):
        text = text[: found.start()]
        steps = [name or index for name, index in _STEP.findall(found.group(1))]
    text = _QUOTES.sub(r"\1", text)
    return _sentence(steps, text)


def _explain_pydantic(error: Any) -> str:
    steps, text = [str(step)[:60] for step in error["loc"]], error["msg"]
    if error["type"] == "extra_forbidden":  # the last step is a name of the client's
        steps, text = steps[:-1], "Object contains unknown field"
    return _sentence(steps, _WITHOUT_QUOTES.get(error["type"], text))


def _sentence(steps: list[str], text: str) -> str:
    # RFC 6901 §4.
    pointer = "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
    words = text[:1].lower() + text[1:]
    return f"{pointer}: {words}" if pointer else words


def _encode_other(value: Any) -> Any:
    """What msgspec does not know by itself."""
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and isinstance(value, pydantic.BaseModel):
        return msgspec.Raw(value.model_dump_json().encode())
    raise TypeError(f"a value of type {type(value).__name__} cannot be written as JSON")


_encode: Final = msgspec.json.Encoder(enc_hook=_encode_other).encode


def encode_json(value: object) -> bytes:
    """Write a value as JSON on one line.

    Raises:
        TypeError: it has a part that JSON has no form for.
        ValueError: it has a text or a number that JSON cannot hold, or raw JSON that is none.
    """
    if isinstance(value, _BYTES):
        raise TypeError("bytes are no JSON; they are for channels whose data is binary")
    data = _encode(value)
    if isinstance(value, msgspec.Raw):
        try:
            _read_json(data)
        except msgspec.DecodeError:
            raise ValueError("the raw data is no JSON") from None
    if b"\n" in data:  # within raw parts only; payloads are one line each
        return msgspec.json.format(data, indent=-1)
    return data


def encode_data(value: object, *, is_binary: bool) -> bytes:
    """Write what goes to clients: any value as JSON, or bytes as they are where data is binary.

    Raises:
        TypeError: the value is of a kind that cannot be sent there.
        ValueError: as `encode_json`.
    """
    if not is_binary:
        return encode_json(value)
    if not isinstance(value, _BYTES):
        raise TypeError(f"binary data has to be bytes, and this is a {type(value).__name__}")
    return bytes(value)


def encode_part(value: object) -> msgspec.Raw | None:
    """Write an optional part of a reply or an order; None stays None.

    Raises:
        TypeError: as `encode_json`.
        ValueError: as `encode_json`.
    """
    return None if value is None else msgspec.Raw(encode_json(value))


def unix_seconds(moment: float | datetime) -> float:
    """A moment as replies and orders say it.

    Raises:
        ValueError: a time without a zone, which could be any.
    """
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise ValueError("a time needs its zone: datetime.now(UTC), not datetime.now()")
        return moment.timestamp()
    return float(moment)
