"""Whether a publication fits its namespace's schema.

Rules
- What every publication costs is one question to the validator, asked about the value that was
  parsed anyway. Words are found for what is refused alone.
- Of a name that an object has twice the last one counts, as in a browser's `JSON.parse`.

Not here: reading the file (`services.schema_file`), the words (`misfit`).
"""

from typing import Any

import orjson

from services.schema_file import SchemaFile, compile_schema
from services.wire.errors import Error, ErrorCode
from services.worker.misfit import Misfits


class Schema:
    """A schema, made ready: a `Requirement` of payloads."""

    __slots__ = ("_misfits", "is_met")

    def __init__(self, file: SchemaFile) -> None:
        """Make a schema that was read before ready."""
        schema = orjson.loads(file.text)
        self.is_met = compile_schema(schema).is_valid
        """See `Requirement.is_met`."""
        self._misfits = Misfits(schema)

    def refusal(self, value: Any) -> Error:
        """See `Requirement.refusal`."""
        return ErrorCode.INVALID_DATA.explained(self._misfits.explain(value))
