"""The example file: every setting with its default, and nothing that is none."""

import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from services.advice import describe_openings, describe_surprises
from services.config import load_config
from services.settings import Config

EXAMPLE = Path(__file__).parent.parent.parent / "forebay.example.toml"


def uncommented() -> dict[str, Any]:
    """The file with every setting in it, but without the example namespace."""
    text = EXAMPLE.read_text("utf-8").partition("\n[[namespace]]\n")[0]
    return tomllib.loads(re.sub(r"(?m)^#(?=[a-z])", "", text))


def names(section: BaseModel, prefix: str = "") -> set[str]:
    found: set[str] = set()
    for name, value in section:
        if isinstance(value, BaseModel):
            found |= names(value, f"{prefix}{name}.")
        elif isinstance(value, dict):
            for key, each in value.items():
                found |= names(each, f"{prefix}{name}.{key}.")
        else:
            found.add(f"{prefix}{type(section).model_fields[name].alias or name}")
    return found


def keys(table: dict[str, Any], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for name, value in table.items():
        found |= keys(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}"}
    return found


def test_the_example_names_every_setting() -> None:
    # The two that have tables of their own, which have no defaults.
    assert keys(uncommented()) == names(Config()) - {"namespace", "client.subscription_token"}


def test_the_example_shows_the_defaults() -> None:
    assert Config.model_validate(uncommented()) == Config()


def test_the_example_as_it_is_has_one_namespace_and_surprises_nobody_there() -> None:
    config = load_config(EXAMPLE, {})
    assert config.model_copy(update={"namespace": ()}) == Config()
    assert [namespace.name for namespace in config.namespace] == ["chat"]
    assert describe_openings(config) == []
    assert not [sentence for sentence in describe_surprises(config) if "chat" in sentence]
