"""The settings as values: every section, its defaults and bounds.

Rules
- Secure by default: what is not allowed in so many words is closed.
- Frozen. A duration is float seconds and a size is bytes, however they were written.
- A setting has a lower and an upper bound, checked at the start; what it does is its description,
  and a line in `forebay.example.toml`.

Not here: files and variables (`config`), what is allowed but would surprise (`advice`).
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from typing import Annotated, Final, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from services.schema_file import SchemaFile, read_schema_file
from services.template import Template
from services.units import Bytes, OptionalRate, Seconds

MIB: Final = 1024 * 1024

# Of `conflate`. What is held for less is told hardly less often, and costs a timer each time.
SHORTEST_WINDOW_SECONDS: Final = 0.01

_ORIGIN: Final = re.compile(
    r"null|[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9_.-]*[a-z0-9])?)(:(\d{1,5}|\*))?"
)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _split_by_commas(value: object) -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


StringList = Annotated[tuple[str, ...], BeforeValidator(_split_by_commas)]


# ---- the sections


class RabbitConfig(_Section):
    """`[rabbitmq]`: the broker, and how much it keeps."""

    url: StringList = Field(
        (), repr=False, description="amqp or amqps URLs, tried in turn; the user is the role's own"
    )
    prefix: str = Field(
        "forebay.", pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="begins every name in RabbitMQ"
    )
    front_heartbeat_seconds: int = Field(10, ge=2, le=600, description="AMQP heartbeat of a front")
    worker_heartbeat_seconds: int = Field(
        3, ge=2, le=600, description="of a worker; a frozen one's partitions move after three"
    )
    inbound_max_bytes: Bytes = Field(
        512 * MIB, ge=MIB, description="pool of one partition; beyond it publishes get error 111"
    )
    log_max_age: Seconds = Field(
        86400.0, ge=60, le=365 * 86400, description="seconds a partition's log is kept"
    )
    log_max_bytes: Bytes = Field(
        4096 * MIB, ge=32 * MIB, description="bytes a partition's log is kept within"
    )

    @field_validator("url")
    @classmethod
    def _is_amqp(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.match(r"amqps?://[^/\s]", url) for url in urls):
            raise ValueError("each URL begins with amqp:// or amqps:// and names a host")
        return urls


class FrontConfig(_Section):
    """`[front]`: where clients connect."""

    host: str = Field(
        "localhost", min_length=1, description="address to listen on; 0.0.0.0 for every one"
    )
    port: int = Field(8000, ge=0, le=65535, description="TCP port; 0 lets the system choose")
    processes: int = Field(1, ge=1, le=64, description="front processes on this port")
    backlog: int = Field(1024, ge=16, le=65535, description="connections not yet accepted")
    drain_seconds: Seconds = Field(
        10.0, ge=0, le=3600, description="seconds over which a shutdown spreads its disconnects"
    )
    internal_host: str = Field("localhost", min_length=1, description="address of internal_port")
    internal_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="TCP port for metrics, and those after it of further processes",
    )


class WorkerConfig(_Section):
    """`[worker]`: what operators ask of a worker; nothing else connects to it."""

    internal_host: str = Field("localhost", min_length=1, description="address of internal_port")
    internal_port: int = Field(0, ge=0, le=65535, description="TCP port for metrics; 0: none")


class AppConfig(_Section):
    """`[app]`: the team's own handlers, in processes of their own that a worker starts."""

    path: str = Field(
        "",
        pattern=r"^([A-Za-z_][\w.]*:[A-Za-z_][\w.]*)?$",
        description='the App, as "package.module:name"; empty: there are no handlers',
    )
    processes: int = Field(1, ge=1, le=64, description="app processes of each worker")
    start_timeout: Seconds = Field(
        30.0, ge=1, le=600, description="seconds an app process may take to start"
    )
    timeout: Seconds = Field(
        10.0, ge=0.1, le=15, description="seconds a handler may take; beyond it has failed"
    )
    memory_limit: Bytes = Field(
        1024 * MIB, ge=64 * MIB, description="bytes of an app process; beyond it is replaced"
    )
    lane: str = Field("main", description="the lane of calls, sends and orders")
    connect_handler: bool = Field(
        False, description="nobody is let in before the app's connect handler has said so"
    )
    connect_headers: StringList = Field(
        (), description="headers of a client's request that the connect handler is told"
    )
    disconnect_handler: bool = Field(False, description="tell the app of each client that is gone")
    hook_timeout: Seconds = Field(
        3.0, ge=0.1, le=30, description="seconds for the answer to a connect or a subscribe"
    )
    hook_unanswered: Literal["deny", "allow"] = Field(
        "deny", description="what holds if none came: error 100, or as if there were no handler"
    )


class PageConfig(_Section):
    """`[page]`: the demo page, for looking at a development setup."""

    enabled: bool = Field(False, description="answer / with the demo page, open to anybody")
    worker_control: str = Field(
        "", max_length=100, description="socket by which its button kills the worker of `make up`"
    )


def _check_template(pattern: str) -> str:
    Template(pattern)
    return pattern


Sentence = Annotated[str, Field(max_length=1000), AfterValidator(_check_template)]


class PlainConfig(_Section):
    """`[plain]`: WebSockets without a protocol, on / and /ws/CHANNEL."""

    enabled: bool = Field(False, description="serve them, by the same permissions as others")
    welcome: Sentence = Field(
        "欢迎, {name}! 已加入频道 {channel}", description="told on connect; empty: nothing is"
    )
    receipt: Sentence = Field(
        "服务器已收到: {text}", description="told the sender once its text is settled"
    )
    relay: Sentence = Field("{name}: {text}", description="told the others; empty: nothing is")


class OneWayConfig(_Section):
    """`[uni_websocket]`, `[uni_sse]`, `[uni_http_stream]`: clients that are only told things."""

    enabled: bool = Field(False, description="serve it, by the same permissions as others")


class LoggingConfig(_Section):
    """`[logging]`: what the processes write to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least important lines written"
    )
    format: Literal["auto", "json", "text"] = Field(
        "auto", description="auto: text on a terminal, else JSON"
    )

    @property
    def level_number(self) -> int:
        """The level as `logging` counts it."""
        return logging.getLevelNamesMapping()[self.level.upper()]

    @property
    def is_for_terminal(self) -> bool | None:
        """Whether lines are for people; None: if standard error is a terminal."""
        return None if self.format == "auto" else self.format == "text"


class TokenConfig(_Section):
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


class PersonalChannelConfig(_Section):
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


class ClientConfig(_Section):
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
        100, ge=1, le=10_000, description="publishes a session awaits; beyond: error 111"
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


class LaneConfig(_Section):
    """`[lanes.<name>]`: partitions of their own for some namespaces."""

    partitions: int = Field(
        4, ge=1, le=64, description="fixed once made; the most workers the lane can use"
    )


class ChannelOptions(_Section):
    """What clients may do in a namespace's channels, and what the channels keep."""

    lane: str = Field("main", description="the lane its publications travel in")
    reply: Literal["settled", "queued"] = Field(
        "settled", description="answer a publish once it is in the log, or once it is queued"
    )
    data: Literal["json", "binary"] = Field(
        "json", description="what is published; binary is any bytes, for Protobuf clients alone"
    )
    # Pydantic has a method called `schema`.
    schema_file: Annotated[SchemaFile | None, PlainValidator(read_schema_file)] = Field(
        None, alias="schema", description="file of the JSON Schema that publications must fit"
    )
    rate: OptionalRate = Field(
        None,
        description="clients' publications in a channel, as 20/s, 300/m or 1000/h; then error 111",
    )
    user_rate: OptionalRate = Field(
        None, description="of one user in one channel, of one client where there is no user"
    )
    history_size: int = Field(0, ge=0, le=100_000, description="publications kept a channel")
    history_ttl: Seconds = Field(
        0.0, ge=0, le=30 * 86400, description="seconds a publication is kept"
    )
    force_positioning: bool = Field(False, description="every subscription keeps its position")
    allow_positioning: bool = Field(False, description="a client may ask for that")
    force_recovery: bool = Field(
        False, description="every subscription gets what it missed when it comes back"
    )
    allow_recovery: bool = Field(False, description="a client may ask for that")
    force_recovery_mode: Literal["stream", "cache"] = Field(
        "stream", description="get all that was missed, or the newest publication alone"
    )
    auto_cache_recover: bool = Field(
        False, description="a client gets that one also without asking, when it first subscribes"
    )
    delta_publish: bool = Field(
        False, description="a client that asks for it is told what changed, not the whole"
    )
    allowed_delta_types: Annotated[
        tuple[Literal["fossil"], ...], BeforeValidator(_split_by_commas)
    ] = Field(("fossil",), description="the forms in which changes may be told")
    echo: bool = Field(True, description="a client is told what it published itself, too")
    conflate: Seconds = Field(
        0.0,
        ge=0,
        le=60,
        description="seconds in which subscribers are told the newest alone; 0: all",
    )
    allow_subscribe_for_client: bool = Field(False, description="without a subscription token")
    allow_subscribe_for_anonymous: bool = Field(False, description="the same without a user")
    allow_publish_for_client: bool = False
    allow_publish_for_subscriber: bool = False
    allow_publish_for_anonymous: bool = Field(
        False, description="lets the two above hold without a user"
    )
    allow_history_for_client: bool = False
    allow_history_for_subscriber: bool = False
    allow_history_for_anonymous: bool = Field(
        False, description="lets the two above hold without a user"
    )
    presence: bool = Field(False, description="clients may ask who is in a channel")
    join_leave: bool = Field(False, description="clients may be told who joins and leaves")
    force_push_join_leave: bool = Field(
        False, description="every subscriber is told, also without asking"
    )
    allow_presence_for_client: bool = False
    allow_presence_for_subscriber: bool = False
    allow_presence_for_anonymous: bool = Field(
        False, description="lets the two above hold without a user"
    )
    allow_user_limited_channels: bool = Field(False, description="names such as thread#42,43")
    subscribe_handler: bool = Field(
        False, description="nobody subscribes before the app's subscribe handler has said so"
    )
    channel_regex: str = Field(
        "", max_length=500, description="the part after the namespace must match it wholly"
    )

    @field_validator("channel_regex")
    @classmethod
    def _is_regex(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return pattern

    @field_validator("conflate")
    @classmethod
    def _is_no_shorter_than_it_takes(cls, window_seconds: float) -> float:
        if 0 < window_seconds < SHORTEST_WINDOW_SECONDS:
            raise ValueError("it is 0, which tells all, or at least 10ms")
        return window_seconds

    @model_validator(mode="after")
    def _schema_is_for_json(self) -> ChannelOptions:
        if self.schema_file is not None and self.is_binary:
            raise ValueError('schema needs data = "json": other bytes have no parts to look at')
        return self

    @model_validator(mode="after")
    def _history_is_whole(self) -> ChannelOptions:
        if bool(self.history_size) != bool(self.history_ttl):
            raise ValueError("history needs both history_size and history_ttl")
        if self.has_recovery and not self.has_history:
            raise ValueError("recovery needs history: set history_size and history_ttl")
        if self.delta_publish and not self.has_history:
            raise ValueError("delta_publish needs history: set history_size and history_ttl")
        return self

    @model_validator(mode="after")
    def _recovers_what_there_is(self) -> ChannelOptions:
        if self.force_recovery_mode == "cache" and not self.has_recovery:
            raise ValueError("force_recovery_mode needs force_recovery or allow_recovery")
        if self.auto_cache_recover and not (self.force_recovery and self.recovers_newest):
            raise ValueError(
                'auto_cache_recover needs force_recovery and force_recovery_mode = "cache"'
            )
        return self

    @model_validator(mode="after")
    def _pushes_what_there_is(self) -> ChannelOptions:
        if self.force_push_join_leave and not self.join_leave:
            raise ValueError("force_push_join_leave needs join_leave")
        return self

    @property
    def has_history(self) -> bool:
        """Whether the channels keep publications."""
        return self.history_size > 0 and self.history_ttl > 0

    @property
    def has_recovery(self) -> bool:
        """Whether a client may get what it missed."""
        return self.force_recovery or self.allow_recovery

    @property
    def recovers_newest(self) -> bool:
        """Whether who comes back gets the newest publication alone, and not all that it missed."""
        return self.force_recovery_mode == "cache"

    @property
    def is_binary(self) -> bool:
        """Whether what is published is any bytes, and not JSON."""
        return self.data == "binary"


class NamespaceConfig(ChannelOptions):
    """`[[namespace]]`: options of the channels called `name:…`."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")


class ChannelConfig(_Section):
    """`[channel]`: what concerns all channels together."""

    history_meta_ttl: Seconds = Field(
        3600.0, ge=60, le=365 * 86400, description="seconds an idle channel's position is known"
    )
    history_max_bytes: Bytes = Field(
        256 * MIB, ge=MIB, description="bytes of all histories a front process holds"
    )
    catch_up_seconds: Seconds = Field(
        30.0, ge=1, le=3600, description="seconds of reading the log before a front is ready"
    )
    unknown_namespace: Literal["refuse", "without_namespace"] = Field(
        "refuse", description="a name with an unknown namespace: error 102, or as if without one"
    )


# ---- what must fit together

Options = TypeVar("Options", bound=ChannelOptions)


def _fit(options: Options, info: ValidationInfo) -> Options:
    """Check a namespace against the sections before it; those that are wrong are not there.

    Raises:
        ValidationError: with a problem for each setting that does not fit.
    """
    lanes, channel = info.data.get("lanes"), info.data.get("channel")
    problems = []
    if lanes is not None and options.lane not in lanes:
        problems.append(_problem("lane", f'there is no lane "{options.lane}"'))
    if channel is not None and options.history_ttl > channel.history_meta_ttl:
        problems.append(_problem("history_ttl", "longer than channel.history_meta_ttl"))
    if problems:
        raise ValidationError.from_exception_data("namespace", problems)
    return options


def _problem(where: str | int, sentence: str) -> InitErrorDetails:
    error = PydanticCustomError("does_not_fit", "{sentence}", {"sentence": sentence})
    return InitErrorDetails(type=error, loc=(where,), input=None)


class Config(_Section):
    """All settings. `lanes` and `channel` stand before what is checked against them."""

    rabbitmq: RabbitConfig = RabbitConfig()
    front: FrontConfig = FrontConfig()
    worker: WorkerConfig = WorkerConfig()
    app: AppConfig = AppConfig()
    page: PageConfig = PageConfig()
    plain: PlainConfig = PlainConfig()
    uni_websocket: OneWayConfig = OneWayConfig()
    uni_sse: OneWayConfig = OneWayConfig()
    uni_http_stream: OneWayConfig = OneWayConfig()
    logging: LoggingConfig = LoggingConfig()
    client: ClientConfig = ClientConfig()
    channel: ChannelConfig = ChannelConfig()
    lanes: dict[str, LaneConfig] = Field(default_factory=lambda: {"main": LaneConfig()})
    without_namespace: Annotated[ChannelOptions, AfterValidator(_fit)] = ChannelOptions()
    namespace: tuple[Annotated[NamespaceConfig, AfterValidator(_fit)], ...] = ()

    @field_validator("lanes")
    @classmethod
    def _has_main(cls, lanes: dict[str, LaneConfig]) -> dict[str, LaneConfig]:
        if not all(re.fullmatch(r"[a-z0-9_-]{1,32}", name) for name in lanes):
            raise ValueError("a lane's name is 1 to 32 of a-z, 0-9, _ and -")
        return {"main": LaneConfig()} | lanes

    @field_validator("namespace")
    @classmethod
    def _are_distinct(cls, namespaces: tuple[NamespaceConfig, ...]) -> tuple[NamespaceConfig, ...]:
        times = Counter(namespace.name for namespace in namespaces)
        first = {namespace.name: at for at, namespace in reversed(list(enumerate(namespaces)))}
        problems = [
            _problem(first[name], "configured twice") for name, count in times.items() if count > 1
        ]
        if problems:
            raise ValidationError.from_exception_data("namespace", problems)
        return namespaces

    @model_validator(mode="after")
    def _has_lane_of_calls(self) -> Config:
        if self.app.lane not in self.lanes:
            raise ValueError(f'app.lane: there is no lane "{self.app.lane}"')
        return self

    @model_validator(mode="after")
    def _has_namespace_of_personal_channels(self) -> Config:
        name = self.client.subscribe_to_user_personal_channel.personal_channel_namespace
        if name and name not in {namespace.name for namespace in self.namespace}:
            raise ValueError(
                "client.subscribe_to_user_personal_channel.personal_channel_namespace:"
                f' there is no namespace "{name}"'
            )
        return self

    @property
    def longest_history_ttl(self) -> float:
        """Seconds for which some channel's publications may be asked for."""
        return max(options.history_ttl for options in (self.without_namespace, *self.namespace))
