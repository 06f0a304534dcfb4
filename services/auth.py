"""Tokens: who a client is, and what its backend allows it.

Rules
- The algorithm is one of the allow-list, the key the configured one; a token's own hints at keys
  (`jku`, `x5u`, `jwk`) are never followed.
- The time is an argument.
- An exception's `why` is for the server's log: it holds nothing of the token but its claims' names.

Not here: what an invalid token is answered with (the session), permissions without a token.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
import msgspec
import orjson
from jwt.algorithms import HMACAlgorithm

from services.settings import TokenConfig
from services.wire.payload import one_line, validate_payload

ALGORITHMS: Final = ("HS256", "HS384", "HS512")
_TYPES: Final = (None, "JWT", "at+jwt")


OVERRIDABLE: Final = frozenset(
    ("presence", "join_leave", "force_push_join_leave", "force_recovery", "force_positioning")
)
"""The namespace options that a token's `override` may change for one subscription."""

CLAIM_BYTES_AT_MOST = 4096
"""Of a token's `info` and `data`, as they stand in it. What is in `info` travels with every
publication of the client, to the worker and to every subscriber."""


class TokenInvalid(Exception):
    """The token is not one of ours, or not for this."""

    def __init__(self, why: str) -> None:
        super().__init__(f"invalid token: {why}")
        self.why = why


class TokenExpired(Exception):
    """The token was valid, or will be; it is not now."""

    def __init__(self, why: str) -> None:
        super().__init__(f"token expired: {why}")
        self.why = why


class TokenMismatch(Exception):
    """A valid subscription token for another user, client or channel."""

    def __init__(self, claim: str) -> None:
        super().__init__(f"the token's {claim} is another one")
        self.claim = claim


@dataclass(frozen=True, slots=True)
class ServerSubscription:
    """A channel the token subscribes its client to."""

    info: bytes = b""
    data: bytes = b""
    # Of OVERRIDABLE, what the token changes.
    override: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a client is. Info is raw JSON, empty if there is none; no user is anonymous."""

    user: str = ""
    info: bytes = b""
    expire_at: float | None = None
    channels: Mapping[str, ServerSubscription] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SubscriptionGrant:
    """What a subscription token allows. Info and data are raw JSON, empty if there is none."""

    channel: str
    info: bytes = b""
    data: bytes = b""
    expire_at: float | None = None
    override: Mapping[str, bool] = field(default_factory=dict)


class _AnyLengthHMAC(HMACAlgorithm):
    """HMAC without a warning of a short key at each token: the key is the operator's choice."""

    def check_key_length(self, key: Any) -> None:
        return None


def _signatures() -> jwt.PyJWS:
    signatures = jwt.PyJWS(algorithms=[])
    for name, hash_ in zip(
        ALGORITHMS,
        (HMACAlgorithm.SHA256, HMACAlgorithm.SHA384, HMACAlgorithm.SHA512),
        strict=True,
    ):
        signatures.register_algorithm(name, _AnyLengthHMAC(hash_))
    return signatures


_SIGNATURES: Final = _signatures()
_NOTHING: Final = msgspec.Raw(b"")


class _Flag(msgspec.Struct, frozen=True):
    value: bool = False


class _SubscriptionClaim(msgspec.Struct, frozen=True):
    info: msgspec.Raw = _NOTHING
    b64info: str | None = None
    data: msgspec.Raw = _NOTHING
    b64data: str | None = None
    override: dict[str, _Flag] | None = None


class _Claims(_SubscriptionClaim, frozen=True):
    sub: str | int | None = None
    exp: int | float | None = None
    expire_at: int | float | None = None
    nbf: int | float | None = None
    aud: str | list[str] | None = None
    iss: str | None = None
    channel: str | None = None
    client: str | None = None
    channels: list[str] | None = None
    subs: dict[str, _SubscriptionClaim] | None = None

    @property
    def user(self) -> str:
        return "" if self.sub is None else str(self.sub)


_claims = msgspec.json.Decoder(_Claims)


def verify_connection_token(token: str, tokens: TokenConfig, now: float | None) -> Identity:
    """Who the token says its bearer is. `now` None: expiry is not looked at (insecure mode).

    Raises:
        TokenInvalid: it is none of ours, or a subscription token.
        TokenExpired: its time is over or has not come.
    """
    claims = _verified(token, tokens)
    if claims.channel is not None:
        raise TokenInvalid("it has a channel claim, as a subscription token")
    channels = {name: ServerSubscription() for name in claims.channels or ()}
    for name, claim in (claims.subs or {}).items():
        channels[name] = ServerSubscription(
            _raw(claim.info, claim.b64info, "info"),
            _raw(claim.data, claim.b64data, "data"),
            _override(claim),
        )
    identity = Identity(
        claims.user, _raw(claims.info, claims.b64info, "info"), _expiry(claims), channels
    )
    _check_time(claims, now)
    return identity


def verify_subscription_token(
    token: str, tokens: TokenConfig, now: float | None, *, user: str, client: str, channel: str
) -> SubscriptionGrant:
    """What the token allows this user's client in this channel; an empty `channel` is any.

    Raises:
        TokenInvalid: it is none of ours, or names no channel.
        TokenExpired: its time is over or has not come.
        TokenMismatch: it is for another user, client or channel.
    """
    claims = _verified(token, tokens)
    if not claims.channel:
        raise TokenInvalid("it has no channel claim")
    grant = SubscriptionGrant(
        claims.channel,
        _raw(claims.info, claims.b64info, "info"),
        _raw(claims.data, claims.b64data, "data"),
        _expiry(claims),
        _override(claims),
    )
    _check_time(claims, now)
    if channel and claims.channel != channel:
        raise TokenMismatch("channel")
    if claims.user != user:
        raise TokenMismatch("sub")
    if claims.client and claims.client != client:
        raise TokenMismatch("client")
    return grant


def make_token(
    tokens: TokenConfig,
    user: str,
    *,
    expire_at: float | None = None,
    channel: str = "",
    info: object = None,
) -> str:
    """A connection token, or with `channel` a subscription token, signed with the current key.

    Raises:
        TokenInvalid: there is no key to sign with.
    """
    if not tokens.hmac_secret_key:
        raise TokenInvalid("no key: set client.token.hmac_secret_key")
    claims: dict[str, object] = {"sub": user}
    if expire_at is not None:
        claims["exp"] = math.ceil(expire_at)
    if channel:
        claims["channel"] = channel
    if info is not None:
        claims["info"] = info
    if tokens.audience:
        claims["aud"] = tokens.audience
    if tokens.issuer:
        claims["iss"] = tokens.issuer
    return _SIGNATURES.encode(orjson.dumps(claims), tokens.hmac_secret_key, algorithm="HS256")


def _verified(token: str, tokens: TokenConfig) -> _Claims:
    """The claims of a token with a good signature, for our audience, from our issuer.

    Raises:
        TokenInvalid: it is none.
    """
    try:
        claims = _claims.decode(_signed_bytes(token, tokens))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise TokenInvalid("its claims are not what claims are") from None
    audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud or []
    if tokens.audience and tokens.audience not in audiences:
        raise TokenInvalid("it is for another audience (aud)")
    if tokens.issuer and claims.iss != tokens.issuer:
        raise TokenInvalid("it is from another issuer (iss)")
    return claims


def _signed_bytes(token: str, tokens: TokenConfig) -> bytes:
    """What one of the keys has signed.

    Raises:
        TokenInvalid: none of them has.
    """
    if not tokens.secret_keys:
        raise TokenInvalid("no key to verify it with: set client.token.hmac_secret_key")
    for key in tokens.secret_keys:
        try:
            signed = _SIGNATURES.decode_complete(token, key, algorithms=list(ALGORITHMS))
        except jwt.InvalidSignatureError:
            continue
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise TokenInvalid(_why(error)) from None
        if signed["header"].get("typ") not in _TYPES:
            raise TokenInvalid("its type (typ) is another one")
        payload: bytes = signed["payload"]
        return payload
    raise TokenInvalid("its signature is wrong")


def _why(error: Exception) -> str:
    if isinstance(error, jwt.InvalidAlgorithmError):
        return f"its algorithm is not one of {', '.join(ALGORITHMS)}"
    return "it is not a signed JWT"


def _check_time(claims: _Claims, now: float | None) -> None:
    """Whether the token holds now.

    Raises:
        TokenExpired: it does not.
    """
    if now is None:
        return
    if claims.exp is not None and claims.exp <= now:
        raise TokenExpired("exp is past")
    if claims.nbf is not None and claims.nbf > now:
        raise TokenExpired("nbf is still to come")


def _expiry(claims: _Claims) -> float | None:
    """When what the token allows ends: `expire_at`, where 0 is never, else `exp`.

    Raises:
        TokenInvalid: a number beyond all time.
    """
    at = claims.exp if claims.expire_at is None else claims.expire_at or None
    try:
        return None if at is None else float(at)
    except OverflowError:
        raise TokenInvalid("its expiry is beyond all time") from None


def _override(claim: _SubscriptionClaim) -> dict[str, bool]:
    given = (claim.override or {}).items()
    return {name: flag.value for name, flag in given if name in OVERRIDABLE}


def _raw(plain: msgspec.Raw, encoded: str | None, name: str) -> bytes:
    """A payload claim as raw JSON on one line; the base64 form wins, null is nothing.

    Raises:
        TokenInvalid: it is too long, or no JSON a client could read.
    """
    if len(memoryview(plain)) > CLAIM_BYTES_AT_MOST or len(encoded or "") > CLAIM_BYTES_AT_MOST:
        raise TokenInvalid(f"{name} is over {CLAIM_BYTES_AT_MOST} bytes")
    raw = bytes(plain)
    if encoded:
        try:
            raw = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise TokenInvalid(f"b64{name} is not base64") from None
    if raw in (b"", b"null"):
        return b""
    if validate_payload(raw) is not None:
        raise TokenInvalid(f"{name} is not valid JSON")
    return one_line(raw)
