"""Finds the App that is meant by `module:attribute`.

Rules
- The working directory comes first, as for every Python program of a team.
- `services` and `broker` are never ours here, installed beside us or not: teams have packages of
  these names, with or without an `__init__.py`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Final

from forebay.app import App
from forebay.host.failing import text_of, trace_of

_NOT_OURS: Final = ("services", "broker")


class NoApp(Exception):
    """There is no App where one should be; the text says why, in a line or few."""


class _TeamsPackages(MetaPathFinder):
    """Finds packages that are called as ours are, everywhere but where ours lie."""

    def __init__(self, ours: Path) -> None:
        self._ours = ours

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None or fullname not in _NOT_OURS:
            return None
        places = [place for place in sys.path if Path(place or ".").resolve() != self._ours]
        found = PathFinder.find_spec(fullname, places, target)
        if found is None:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return found


def prefer_the_teams_packages() -> None:
    """Look for modules in the working directory first, and never take ours for the team's."""
    here = str(Path.cwd())
    sys.path[:] = [here, *(place for place in sys.path if place not in ("", here))]
    leave_ours_out()


def leave_ours_out() -> None:
    """Never take ours for the team's."""
    sys.meta_path.insert(0, _TeamsPackages(Path(__file__).resolve().parent.parent.parent))


def load_app(target: str) -> App:
    """Import an App, named as `module:attribute`.

    Raises:
        NoApp: there is none.
    """
    module_name, _, attributes = target.partition(":")
    if not module_name or not attributes:
        raise NoApp(f"{target!r} is no App: write it as module:attribute, as in myapp:app")
    try:
        found: object = importlib.import_module(module_name)
    except BaseException as error:  # noqa: BLE001 - a module may raise whatever it likes
        raise NoApp(_sentence(f"cannot import {module_name}", error)) from None
    for attribute in attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise NoApp(f"{module_name} has no {attributes}") from None
    if not isinstance(found, App):
        raise NoApp(f"{target} is a {type(found).__name__}, and has to be a forebay.App")
    return found


def _sentence(what: str, error: BaseException) -> str:
    trace = trace_of(error).splitlines()
    place = f" ({trace[-1]})" if trace else ""
    return f"{what}: {text_of(error)}{place}"


def why_not_started(error: BaseException) -> str:
    """The reason, for a person, when an App cannot be started."""
    return _sentence("the app cannot start", error)
