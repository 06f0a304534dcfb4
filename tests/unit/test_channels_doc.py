"""docs/channels.md names every option of a namespace, and no others."""

import re
from pathlib import Path

from services.settings import ChannelOptions

PAGE = Path(__file__).parents[2] / "docs" / "channels.md"


def test_every_option_of_a_namespace_is_explained() -> None:
    named = set(re.findall(r"`([a-z_]+)(?: = [^`]*)?`", PAGE.read_text("utf-8")))
    options = {field.alias or name for name, field in ChannelOptions.model_fields.items()}
    assert options - named == set()
    assert {name for name in named - options if "_" in name} == {"presence_stats"}
