"""Which web pages may open a session."""

import pytest

from services.config import DEVELOPMENT
from services.origins import may_connect_from

EXAMPLE = ("https://example.org", "http://intranet:8080")


@pytest.mark.parametrize(
    ("origin", "is_admitted"),
    [
        (None, True),
        ("https://example.org", True),
        ("https://example.org:443", True),
        ("http://intranet:8080", True),
        ("http://example.org", False),
        ("https://example.org:8443", False),
        ("https://EXAMPLE.org", False),
        ("https://example.org.evil.net", False),
        ("https://evil-example.org", False),
        ("https://sub.example.org", False),
        ("https://user@example.org", False),
        ("https://example.org@evil.net", False),
        ("https://example.org/", False),
        ("https://example.org:", False),
        ("https://example.org:443:443", False),
        ("http://intranet", False),
        ("null", False),
        ("", False),
        ("*", False),
        ("https://", False),
        ("example.org", False),
    ],
)
def test_an_origin_is_compared_exactly(origin: str | None, is_admitted: bool) -> None:
    assert may_connect_from(origin, EXAMPLE) is is_admitted


@pytest.mark.parametrize("origin", ["https://example.org", "null", "http://localhost"])
def test_no_page_is_admitted_unless_told_so(origin: str) -> None:
    assert not may_connect_from(origin, ())
    assert may_connect_from(None, ())


@pytest.mark.parametrize(
    ("origin", "is_admitted"),
    [
        ("http://localhost", True),
        ("http://localhost:5173", True),
        ("https://127.0.0.1:1", True),
        ("http://[::1]:8000", True),
        ("http://[::1]", True),
        ("null", True),
        ("http://localhost.evil.net:80", False),
        ("http://localhost:80.evil.net", False),
        ("http://127.0.0.1.evil.net", False),
        ("http://[::1].evil.net", False),
        ("http://[::1]evil", False),
        ("http://user:1@localhost", False),
        ("ftp://localhost:21", False),
        ("https://example.org", False),
    ],
)
def test_development_admits_pages_of_this_machine_only(origin: str, is_admitted: bool) -> None:
    assert may_connect_from(origin, DEVELOPMENT["client"]["allowed_origins"]) is is_admitted
