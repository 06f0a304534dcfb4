"""`[client]`, and the kinds of clients besides: who may connect, and the limits of a session."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field, field_validator, model_validator

from services.settings.section import MIB, Section, StringList
from services.template import Template
from services.units import Bytes, Seconds

_ORIGIN: Final = re.compile(
    r"null|[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9_.-]*[a-z0-9])?)(:(\d{1,5}|\*))?"
)


class TokenConfig(Section):
    """`client.token`: how tokens are verified. Without a key none is valid."""

    hmac_secret_key: str = Field("", repr=False, description="secret of HS256, HS384 and HS512")
    hmac_previous_secret_key: str = Field(
        "", repr=False, description="the secret before, still accepted while it is rotated"
    )
    audience: str = Field("", description="what `aud` must contain; empty: not looked at")
    issuer: str = Field("", description="what `iss` must be; empty: not looked at")

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """The secrets a signature may have been made with, the current one first."""
        return tuple(filter(None, (self.hmac_secret_key, self.hmac_previous_secret_key)))


class PersonalChannelConfig(Section):
    """`client.subscribe_to_user_personal_channel`: a channel that each user's clients follow."""

    enabled: bool = Field(False, description="put each client into its user's channel, #USER")
    personal_channel_namespace: str = Field(
        "", description="the namespace of these channels; empty: without_namespace"
    )
    single_connection: bool = Field(
        False, description="who connects ends the user's older connections; with `enabled`"
    )

    @model_validator(mode="after")
    def _has_channel_of_single_connections(self) -> PersonalChannelConfig:
        if self.single_connection and not self.enabled:
            raise ValueError("single_connection needs enabled = true")
        return self


class ClientConfig(Section):
    """`[client]`: who may connect, and the limits of one session."""

    token: TokenConfig = TokenConfig()
    subscription_token: TokenConfig | None = Field(
        None, description="for subscription tokens; left out: as `client.token`"
    )
    subscribe_to_user_personal_channel: PersonalChannelConfig = PersonalChannelConfig()
    allowed_origins: StringList = Field(
        (), description='origins of web pages, "https://example.org"; port * is any port'
    )
    insecure: bool = Field(False, description="anybody may connect and do everything")
    allow_anonymous_connect_without_token: bool = Field(
        False, description="connect without a token, as the user with the empty name"
    )
    disallow_anonymous_connection_tokens: bool = Field(
        False, description="refuse tokens without a user"
    )
    ping_interval: Seconds = Field(25.0, ge=1, le=3600, description="seconds between pings")
    pong_timeout: Seconds = Field(
        10.0, ge=0.5, le=3600, description="seconds for the answer; shorter than ping_interval"
    )
    stale_close_delay: Seconds = Field(
        10.0, ge=1, le=3600, description="seconds a new connection has to send its connect"
    )
    expired_close_delay: Seconds = Field(
        25.0, ge=0, le=3600, description="seconds of grace to refresh an expired connection"
    )
    expired_sub_close_delay: Seconds = Field(
        25.0, ge=0, le=3600, description="seconds of grace to refresh an expired subscription"
    )
    channel_limit: int = Field(128, ge=1, le=100_000, description="subscriptions a session")
    message_size_limit: Bytes = Field(
        65536, ge=1024, le=8 * MIB, description="bytes of one client message; beyond: close 1009"
    )
    queue_max_size: Bytes = Field(
        MIB, ge=65536, le=1024 * MIB, description="unsent bytes a session; beyond: disconnect 3008"
    )
    history_max_publication_limit: int = Field(
        300, ge=1, le=10_000, description="publications in one history reply"
    )
    recovery_max_publication_limit: int = Field(
        300, ge=1, le=10_000, description="publications in one recovery; more missed: unrecovered"
    )
    unanswered_publish_limit: int = Field(
        100,
        ge=1,
        le=10_000,
        description="publishes, calls and sends a session awaits; beyond: error 111, or 3013",
    )
    poll_wait: Seconds = Field(
        25.0, ge=1, le=300, description="seconds a poll is held while there is nothing to tell"
    )
    poll_return_delay: Seconds = Field(
        15.0, ge=1, le=300, description="seconds a polling client has until its next request"
    )
    connection_limit: int = Field(
        0, ge=0, le=10_000_000, description="sessions a process; 0: no limit; beyond: HTTP 503"
    )

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_ORIGIN.fullmatch(origin) for origin in origins):
            raise ValueError(
                'each is "null" or scheme://host[:port] in small letters, without a path;'
                " only the port may be *"
            )
        return origins

    @model_validator(mode="after")
    def _pong_before_ping(self) -> ClientConfig:
        if self.pong_timeout >= self.ping_interval:
            raise ValueError("pong_timeout must be shorter than ping_interval")
        return self

    @model_validator(mode="after")
    def _message_fits_queue(self) -> ClientConfig:
        if self.queue_max_size < 2 * self.message_size_limit:
            raise ValueError("queue_max_size must be at least twice message_size_limit")
        return self

    @property
    def token_of_subscriptions(self) -> TokenConfig:
        """How subscription tokens are verified."""
        return self.token if self.subscription_token is None else self.subscription_token


def _check_template(pattern: str) -> str:
    Template(pattern)
    return pattern


Sentence = Annotated[str, Field(max_length=1000), AfterValidator(_check_template)]


class PlainConfig(Section):
    """`[plain]`: WebSockets without a protocol, on / and /ws/CHANNEL."""

    enabled: bool = Field(False, description="serve them, by the same permissions as others")
    welcome: Sentence = Field(
        "欢迎, {name}! 已加入频道 {channel}", description="told on connect; empty: nothing is"
    )
    receipt: Sentence = Field(
        "服务器已收到: {text}", description="told the sender once its text is settled"
    )
    relay: Sentence = Field("{name}: {text}", description="told the others; empty: nothing is")


class OneWayConfig(Section):
    """`[uni_websocket]`, `[uni_sse]`, `[uni_http_stream]`: clients that are only told things."""

    enabled: bool = Field(False, description="serve it, by the same permissions as others")
