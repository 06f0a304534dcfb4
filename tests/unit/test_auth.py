"""Tokens: whom they let in, and all the forged and stale ones they do not."""

import base64
import json
import warnings

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth import (
    CLAIM_BYTES_AT_MOST,
    Identity,
    ServerSubscription,
    SubscriptionGrant,
    TokenExpired,
    TokenInvalid,
    TokenMismatch,
    make_token,
    verify_connection_token,
    verify_subscription_token,
)
from services.config import TokenConfig

NOW = 1_700_000_000.0
KEY = "k" * 64
TOKENS = TokenConfig(hmac_secret_key=KEY)


def signed(claims: object, key: str = KEY, algorithm: str = "HS256", **headers: object) -> str:
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return jwt.PyJWS().encode(payload, key, algorithm=algorithm, headers=headers or None)


def identify(token: str, tokens: TokenConfig = TOKENS, now: float | None = NOW) -> Identity:
    return verify_connection_token(token, tokens, now)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_token_names_its_user(algorithm: str) -> None:
    assert identify(signed({"sub": "42"}, algorithm=algorithm)) == Identity("42")


@pytest.mark.parametrize(
    ("claims", "identity"),
    [
        ({}, Identity("")),
        ({"sub": ""}, Identity("")),
        ({"sub": 42, "iat": NOW - 5}, Identity("42")),
        ({"sub": "Zoë 😀"}, Identity("Zoë 😀")),
        ({"sub": "u", "exp": NOW + 60}, Identity("u", expire_at=NOW + 60)),
        ({"sub": "u", "exp": NOW + 60, "expire_at": 0}, Identity("u")),
        ({"sub": "u", "expire_at": NOW + 9}, Identity("u", expire_at=NOW + 9)),
        ({"sub": "u", "nbf": NOW - 1, "jti": "x", "meta": {"a": 1}}, Identity("u")),
        ({"sub": "u", "aud": "anyone", "iss": "anybody"}, Identity("u")),
        ({"sub": "u", "info": {"name": "Zoë"}}, Identity("u", b'{"name": "Zo\\u00eb"}')),
        ({"sub": "u", "info": None}, Identity("u")),
        (
            {"sub": "u", "b64info": base64.b64encode(b'{"a":\n1}').decode()},
            Identity("u", b'{"a": 1}'),
        ),
        (
            {"sub": "u", "channels": ["a", "b"], "subs": {"b": {"data": 1, "info": 2}}},
            Identity(
                "u", channels={"a": ServerSubscription(), "b": ServerSubscription(b"2", b"1")}
            ),
        ),
        (
            {"subs": {"b": {"override": {"force_recovery": {"value": True}}}}},
            Identity(channels={"b": ServerSubscription(override={"force_recovery": True})}),
        ),
    ],
)
def test_claims_become_an_identity(claims: object, identity: Identity) -> None:
    assert identify(signed(claims)) == identity


def unsigned(header: object, claims: object, signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


GOOD = signed({"sub": "u"})
FORGED = {
    "empty": "",
    "no token": "abc",
    "two parts": ".".join(GOOD.split(".")[:2]),
    "alg none": unsigned({"alg": "none", "typ": "JWT"}, {"sub": "u"}),
    "alg None": unsigned({"alg": "None"}, {"sub": "u"}),
    "no alg": unsigned({"typ": "JWT"}, {"sub": "u"}, b"x"),
    "alg RS256": unsigned({"alg": "RS256"}, {"sub": "u"}, b"x"),
    "alg number": unsigned({"alg": 5}, {"sub": "u"}, b"x"),
    "header list": unsigned([], {"sub": "u"}, b"x"),
    "no signature": GOOD.rpartition(".")[0] + ".",
    "other key": signed({"sub": "u"}, key="o" * 64),
    "key in header": signed(
        {"sub": "u"}, key="o" * 64, jwk={"kty": "oct", "k": "b29v"}, jku="https://evil.net/k"
    ),
    "claims swapped": ".".join(
        [GOOD.split(".")[0], signed({"sub": "root"}).split(".")[1], GOOD.split(".")[2]]
    ),
    "unknown crit": signed({"sub": "u"}, crit=["x"], x=1),
    "other typ": signed({"sub": "u"}, typ="secevent+jwt"),
    "subscription token": signed({"sub": "u", "channel": "c"}),
    "empty channel": signed({"sub": "u", "channel": ""}),
    "sub list": signed({"sub": ["u"]}),
    "sub bool": signed({"sub": True}),
    "exp text": signed({"exp": "tomorrow"}),
    "exp infinite": signed(b'{"exp":1e999}'),
    "exp endless": signed(b'{"exp":1%s}' % (b"0" * 400)),
    "claims list": signed([]),
    "claims no json": signed(b"{"),
    "claims no text": signed(b'{"sub":"\xff"}'),
    "claims deep": signed(b'{"x":' * 5000),
    "info odd": signed(b'{"info":1e999}'),
    "b64info odd": signed({"b64info": "%%%"}),
    "not ascii": "é.é.é",
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED)
def test_a_token_that_is_not_ours_is_invalid(token: str) -> None:
    with pytest.raises(TokenInvalid):
        identify(token)


def test_a_token_signed_with_the_empty_key_is_invalid_without_a_key() -> None:
    with pytest.raises(TokenInvalid, match="hmac_secret_key"):
        identify(GOOD, TokenConfig())


def test_the_previous_key_is_accepted_while_it_is_rotated() -> None:
    tokens = TokenConfig(hmac_secret_key="n" * 64, hmac_previous_secret_key=KEY)
    assert identify(GOOD, tokens).user == "u"
    with pytest.raises(TokenInvalid):
        identify(GOOD, TokenConfig(hmac_secret_key="n" * 64))


def test_a_configured_audience_and_issuer_must_be_met() -> None:
    tokens = TokenConfig(hmac_secret_key=KEY, audience="us", issuer="them")
    assert identify(signed({"sub": "u", "aud": ["x", "us"], "iss": "them"}), tokens).user == "u"
    for claims in ({"aud": "us"}, {"iss": "them"}, {"aud": "usx", "iss": "them"}, {}):
        with pytest.raises(TokenInvalid):
            identify(signed(claims), tokens)
    assert identify(make_token(tokens, "me"), tokens).user == "me"


@pytest.mark.parametrize("claims", [{"exp": NOW - 1}, {"exp": NOW}, {"nbf": NOW + 5}])
def test_a_token_out_of_its_time_is_expired(claims: dict[str, float]) -> None:
    with pytest.raises(TokenExpired):
        identify(signed(claims))
    assert identify(signed(claims), now=None).user == ""


def test_a_forged_token_is_invalid_rather_than_expired() -> None:
    with pytest.raises(TokenInvalid):
        identify(signed({"exp": NOW - 1}, key="o" * 64))


def test_a_short_key_works_without_a_warning() -> None:
    tokens = TokenConfig(hmac_secret_key="secret")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert identify(make_token(tokens, "u"), tokens).user == "u"


@given(st.text())
def test_any_text_is_an_invalid_token(token: str) -> None:
    with pytest.raises(TokenInvalid):
        identify(token)


@given(st.binary(max_size=100))
def test_any_signed_claims_are_understood_or_invalid(claims: bytes) -> None:
    try:
        identify(signed(claims), now=None)
    except TokenInvalid:
        return


def test_a_made_token_is_accepted_until_it_expires() -> None:
    token = make_token(TOKENS, "Zoë", expire_at=NOW + 10, info={"a": 1})
    assert identify(token) == Identity("Zoë", b'{"a":1}', NOW + 10)
    with pytest.raises(TokenExpired):
        identify(token, now=NOW + 10)
    with pytest.raises(TokenInvalid):
        make_token(TokenConfig(), "u")


def granted(token: str, channel: str = "c", now: float | None = NOW) -> SubscriptionGrant:
    return verify_subscription_token(token, TOKENS, now, user="u", client="id", channel=channel)


def test_a_subscription_token_grants_its_channel() -> None:
    token = signed({"sub": "u", "channel": "c", "info": 1, "data": {}, "exp": NOW + 5})
    assert granted(token) == SubscriptionGrant("c", b"1", b"{}", NOW + 5)
    assert granted(make_token(TOKENS, "u", channel="c")).channel == "c"
    assert granted(signed({"sub": "u", "channel": "c", "client": "id"})).channel == "c"


def test_a_subscription_token_says_its_channel_when_the_client_does_not() -> None:
    assert granted(make_token(TOKENS, "u", channel="x"), channel="").channel == "x"


@pytest.mark.parametrize(
    ("claims", "claim"),
    [
        ({"sub": "u", "channel": "d"}, "channel"),
        ({"sub": "v", "channel": "c"}, "sub"),
        ({"channel": "c"}, "sub"),
        ({"sub": "u", "channel": "c", "client": "other"}, "client"),
    ],
)
def test_a_subscription_token_of_another_is_a_mismatch(claims: dict[str, str], claim: str) -> None:
    with pytest.raises(TokenMismatch) as caught:
        granted(signed(claims))
    assert caught.value.claim == claim


def test_a_connection_token_is_no_subscription_token() -> None:
    with pytest.raises(TokenInvalid):
        granted(signed({"sub": "u"}))


def test_a_stale_subscription_token_is_expired() -> None:
    with pytest.raises(TokenExpired):
        granted(signed({"sub": "u", "channel": "c", "exp": NOW - 1}))


def test_a_token_whose_info_every_publication_would_carry_for_long_is_invalid() -> None:
    longest = "x" * (CLAIM_BYTES_AT_MOST - 2)
    assert identify(signed({"sub": "1", "info": longest})).info
    for claims in ({"info": longest + "x"}, {"b64info": "A" * (CLAIM_BYTES_AT_MOST + 1)}):
        with pytest.raises(TokenInvalid, match="info is over"):
            identify(signed({"sub": "1", **claims}))
