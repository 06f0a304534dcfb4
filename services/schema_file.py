"""The JSON Schema that a namespace's publications must fit, as the settings name it: a file.

Rules
- Read once, at the start, and complained about with all other settings; by fronts as well, which
  do not use it: a mistake should not wait for the first worker.
- Nothing is fetched: a schema refers to nothing but parts of its own file.
- A hostile payload must not make it slow: patterns are matched in linear time, without looking
  ahead or back.

Not here: validating, and what a sender is told (`services.worker.schemas`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from jsonschema_rs import (
    Draft202012Validator,
    RegexOptions,
    ValidationError,
    ValidationErrorKind,
    validator_map_for,
)

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

FILE_BYTES_AT_MOST: Final = 1024 * 1024

_PATTERNS: Final = RegexOptions()
_SENTENCE_LENGTH_AT_MOST: Final = 200


class SchemaFile(NamedTuple):
    """A file that was read and holds a schema."""

    path: str
    text: bytes


def read_schema_file(path: object) -> SchemaFile | None:
    """Read a namespace's schema; an empty path is no schema.

    Raises:
        ValueError: there is no such file, or what is in it cannot be used.
    """
    if path is None or isinstance(path, SchemaFile):
        return path
    if not isinstance(path, str):
        raise ValueError("write the path of a file")  # noqa: TRY004  (problems are ValueErrors)
    if not path:
        return None
    text = _read(path)
    try:
        schema = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
    try:
        _check_dialect(schema)
        compile_schema(schema)
    except ValidationError as error:
        raise ValueError(f"{path}: {_sentence(error)}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return SchemaFile(path, text)


def compile_schema(schema: Any) -> Draft202012Validator:
    """Make a schema ready.

    Raises:
        ValueError: it is none.
    """
    return Draft202012Validator(
        schema,
        validate_formats=True,
        ignore_unknown_formats=False,
        pattern_options=_PATTERNS,
        offline=True,
    )


def compile_parts(schema: Any) -> dict[str, Callable[[Any], bool]]:
    """Say of every part of a schema, by its JSON pointer, which begins with `#`, what fits it."""
    parts = validator_map_for(
        schema,
        validate_formats=True,
        ignore_unknown_formats=False,
        pattern_options=_PATTERNS,
        offline=True,
    )
    return {pointer: parts[pointer].is_valid for pointer in parts.keys()}  # noqa: SIM118  (no dict)


def _read(path: str) -> bytes:
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise ValueError(f"{path}: not a file")
        with Path(path).open("rb") as file:
            text = file.read(FILE_BYTES_AT_MOST + 1)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    if len(text) > FILE_BYTES_AT_MOST:
        raise ValueError(f"{path}: over {FILE_BYTES_AT_MOST} bytes")
    return text


def _check_dialect(schema: object) -> None:
    if not isinstance(schema, dict | bool):
        raise ValueError("not a JSON Schema, which is an object")  # noqa: TRY004  (as above)
    named = schema.get("$schema", DIALECT) if isinstance(schema, dict) else DIALECT
    if named not in (DIALECT, f"{DIALECT}#"):
        raise ValueError(f"$schema must be {DIALECT}, or left out")


def _sentence(error: ValidationError) -> str:
    """What is wrong with a schema; the library's words about it, where ours would say less."""
    where = "".join(f"/{part}" for part in error.instance_path)
    match error.kind:
        case ValidationErrorKind.Referencing():
            return (
                "$ref can name a part of the same file alone, and one that is there:"
                f" {error.message[:_SENTENCE_LENGTH_AT_MOST]}"
            )
        case ValidationErrorKind.Pattern() | ValidationErrorKind.Format() if "regex" in (
            error.message
        ):
            return (
                f"{where}: a regular expression that is none, is too large, or looks ahead or"
                " back, which would let one text take very long"
            )
        case _:
            words = error.message[:_SENTENCE_LENGTH_AT_MOST]
            return f"not a JSON Schema of draft 2020-12: {where}: {words}"
