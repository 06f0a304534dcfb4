"""The links of the README lead somewhere, in both languages."""

import re
from pathlib import Path

import pytest

from tests.readme.document import anchors, links, structure
from tests.system.process import ROOT

PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    assert lost_links(page) == []


def test_both_languages_link_to_the_same_and_to_each_other() -> None:
    english, chinese = (links(page) for page in PAGES)
    assert english[0] == "README.zh-CN.md"
    assert chinese[0] == "README.md"
    assert chinese[1:] == english[1:]


def test_both_languages_have_the_same_structure() -> None:
    english, chinese = map(structure, PAGES)
    assert chinese == english


def lost_links(page: Path) -> list[str]:
    """Links of a page that are to lead somewhere in the repository, and do not."""
    inside = [each for each in links(page) if not re.match(r"[a-z]+:", each)]
    assert inside
    return [each for each in inside if not _leads_somewhere(page, each)]


def _leads_somewhere(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    return target.exists() and (not anchor or anchor in anchors(target))
