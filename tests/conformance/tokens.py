"""Tokens of the vectors' users, as a backend would make them."""

import tomllib
from pathlib import Path
from typing import Any

import jwt

SETTINGS = Path(__file__).parent / "forebay.toml"
_KEY = tomllib.loads(SETTINGS.read_text())["client"]["token"]["hmac_secret_key"]
_LONG_AGO, _FAR = 1_000_000_000, 4_000_000_000


def token(user: str, *, key: str = _KEY, **claims: Any) -> str:
    """A token that holds for decades, unless `exp` says otherwise."""
    return jwt.encode({"sub": user, "exp": _FAR} | claims, key, algorithm="HS256")


ALICE = token("alice")
ALICE_FOR_EVER = jwt.encode({"sub": "alice"}, _KEY, algorithm="HS256")
ALICE_EXPIRED = token("alice", exp=_LONG_AGO)
ALICE_NOT_YET = token("alice", nbf=_FAR)
BOB = token("bob")
FORGED = token("alice", key="another secret of at least 32 bytes")
UNSIGNED = jwt.encode({"sub": "alice"}, "", algorithm="none")


def subscription(user: str, channel: str, **claims: Any) -> str:
    """A subscription token."""
    return token(user, channel=channel, **claims)
