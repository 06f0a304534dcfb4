"""`[channel]`, `[without_namespace]`, `[[namespace]]`: what channels keep, and who may do what."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, PlainValidator, field_validator, model_validator

from services.schema_file import SchemaFile, read_schema_file
from services.settings.section import MIB, Section, split_by_commas
from services.units import Bytes, OptionalRate, Seconds

# Of `conflate`. What is held for less is told hardly less often, and costs a timer each time.
SHORTEST_WINDOW_SECONDS: Final = 0.01


class ChannelOptions(Section):
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
        tuple[Literal["fossil"], ...], BeforeValidator(split_by_commas)
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


class ChannelConfig(Section):
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
