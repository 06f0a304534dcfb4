"""What all sections of the settings have in common.

Rules: frozen, and a name that is not known is a problem. What was written is never quoted, for it
may be a secret.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict

MIB: Final = 1024 * 1024


class Section(BaseModel):
    """A table of the settings' file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def split_by_commas(value: object) -> object:
    """A list, as variables have it; what is no text stays as it is."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


StringList = Annotated[tuple[str, ...], BeforeValidator(split_by_commas)]
