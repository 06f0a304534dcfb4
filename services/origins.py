"""Whether a web page may open a session: its Origin against the allow-list, at the handshake.

Rules
- Compared exactly: scheme, host and port, where a port left out is the scheme's own. No substrings
  and no patterns but a `*` in the place of the port.
- A client without an Origin header is no browser; no page can make a browser leave it out. It is
  let in, since its token, not its origin, says who it is.

Not here: the check of what the allow-list may hold (`settings`), refusing the request (the
transports).
"""

from __future__ import annotations

from collections.abc import Collection

_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}


def may_connect_from(origin: str | None, allowed: Collection[str]) -> bool:
    """Whether a handshake with this Origin header (None: without one) goes on."""
    if origin is None:
        return True
    if origin in allowed:
        return True
    scheme, mark, rest = origin.partition("://")
    if not mark or rest.endswith(":"):
        return False
    host, port = _split(rest)
    if not host or not _is_port(port):
        return False
    port = port or _DEFAULT_PORTS.get(scheme, "")
    return any(_admits(pattern, scheme, host, port) for pattern in allowed)


def _admits(pattern: str, scheme: str, host: str, port: str) -> bool:
    its_scheme, _, rest = pattern.partition("://")
    its_host, its_port = _split(rest)
    its_port = its_port or _DEFAULT_PORTS.get(its_scheme, "")
    return (its_scheme, its_host) == (scheme, host) and its_port in ("*", port)


def _split(rest: str) -> tuple[str, str]:
    """Host and port; the colons of an IPv6 address stand in brackets."""
    if rest.startswith("["):
        host, bracket, port = rest.partition("]")
        return (host + bracket, port.removeprefix(":")) if port[:1] in ("", ":") else ("", "")
    host, _, port = rest.partition(":")
    return host, port


def _is_port(text: str) -> bool:
    return text == "" or (text.isascii() and text.isdigit() and len(text) <= 5)
