"""Connection tokens as somebody else's backend would make them, with a JWT library."""

import time

import jwt

from tests.system.deployment import TOKEN_SECRET


def make_token(user: str, *, expires_in_seconds: float = 60, secret: str = TOKEN_SECRET) -> str:
    """Sign a connection token for a user."""
    claims = {"sub": user, "exp": int(time.time() + expires_in_seconds), "info": {"name": user}}
    return jwt.encode(claims, secret, algorithm="HS256")
