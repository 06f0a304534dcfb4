"""Which `FOREBAY_` variables there are, and what somebody meant who mistyped one.

Rules: a variable that begins like ours and is none is a problem, never ignored: it may have been
meant to close something.

Not here: the environment itself, and the variables' values (`config`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Final, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from services.settings import Config

PREFIX: Final = "FOREBAY_"

# Of the users that `forebay topology apply` makes in RabbitMQ, one a role.
PASSWORDS: Final = {
    role: f"FOREBAY_{role.upper()}_PASSWORD" for role in ("front", "worker", "backend", "operator")
}

# Names that stand for a longer one, and names that other parts of Forebay's tooling read.
_ALIASES: Final = {"FOREBAY_AMQP_URL": "FOREBAY_RABBITMQ__URL"}
_NOT_SETTINGS: Final = frozenset(
    {"FOREBAY_CONFIG", "FOREBAY_INSTALL", "FOREBAY_MANAGEMENT_URL", *PASSWORDS.values()}
)
# What Kubernetes puts into every pod beside a service called "forebay".
_KUBERNETES: Final = re.compile(
    r"FOREBAY_([A-Z0-9]+_)*?(SERVICE_HOST|SERVICE_PORT|SERVICE_PORT_\w+|PORT(_\d+_(TCP|UDP)(_\w+)?)?)"
    r"=(tcp://.*|udp://.*|tcp|udp|[0-9a-f.:]+)"
)


def pick_settings(environ: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    """The variables that are settings, under their full names; others of ours are problems."""
    found = {name: text for name, text in environ.items() if name.startswith(PREFIX)}
    for short, full in _ALIASES.items():
        if short in found:
            found.setdefault(full, found.pop(short))
            found.pop(short, None)
    sections, settings = _known()
    picked = {}
    for name, text in sorted(found.items()):
        if any(fnmatchcase(name, known) for known in (*sections, *settings)):
            picked[name] = text
        elif name not in _NOT_SETTINGS and not _KUBERNETES.fullmatch(f"{name}={text}"):
            suggestions = (*settings, *_NOT_SETTINGS)
            problems.append(f"{name}: no such setting{did_you_mean(name, suggestions)}")
    return picked


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question to put behind "no such setting", or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def names_in(model: type[BaseModel], *keys: str) -> list[str]:
    """The names of the settings in a section, reached by these keys; none where there is none."""
    for key in keys:
        field = model.model_fields.get(key)
        if field is None:  # a lane's name, a namespace's place in the list
            continue
        section = _section(field.annotation)
        if section is None:
            return []
        model = section
    return [_written(name, field) for name, field in model.model_fields.items()]


def _written(name: str, field: FieldInfo) -> str:
    """A setting's name as users write it."""
    return field.alias or name


def _known() -> tuple[list[str], list[str]]:
    """Patterns of all variables: of whole tables, and of single settings."""
    names = list(_walk(Config, PREFIX))
    sections = [name for name, is_section in names if is_section]
    return sections, [name for name, is_section in names if not is_section]


def _walk(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, bool]]:
    for key, field in model.model_fields.items():
        name = f"{prefix}{_written(key, field).upper()}"
        section = _section(field.annotation)
        yield name, section is not None
        if get_origin(field.annotation) is dict:
            yield f"{name}__*", True
        elif section is not None and get_origin(field.annotation) is not tuple:
            yield from _walk(section, f"{name}__")


def _section(annotation: object) -> type[BaseModel] | None:
    """The section in an annotation such as `TokenConfig | None` or `dict[str, LaneConfig]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_section, get_args(annotation))), None)
