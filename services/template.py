"""Sentences with placeholders, as an operator writes them into the settings: `{name}: {text}`.

Rules
- A placeholder is one of `PLACEHOLDERS`, in braces; any other text, braces included, stands for
  itself.
- What is put in is never looked at for placeholders.

Not here: what the placeholders stand for.
"""

import re
from collections.abc import Mapping
from typing import Final

PLACEHOLDERS: Final = ("name", "user", "client", "channel", "text")

_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_]+)\}")


class Template:
    """One sentence, taken apart once."""

    __slots__ = ("_pieces",)

    def __init__(self, pattern: str) -> None:
        """Take a sentence apart.

        Raises:
            ValueError: it has a placeholder that there is not, or is no text.
        """
        # Literal text and placeholders' names by turns, beginning and ending with text.
        self._pieces = _PLACEHOLDER.split(pattern)
        unknown = [f"{{{name}}}" for name in self._pieces[1::2] if name not in PLACEHOLDERS]
        if unknown:
            known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
            raise ValueError(f"no such placeholder: {', '.join(unknown)}; there are {known}")
        if not pattern.isprintable() and any("\ud800" <= each <= "\udfff" for each in pattern):
            raise ValueError("not UTF-8")

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to say."""
        return self._pieces == [""]

    def render(self, values: Mapping[str, str]) -> bytes:
        """The sentence in UTF-8; `values` has all of `PLACEHOLDERS`."""
        pieces = self._pieces.copy()
        pieces[1::2] = [values[name] for name in pieces[1::2]]
        return "".join(pieces).encode()
