"""All sections together, and what must fit between them."""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from services.settings.channel import ChannelConfig, ChannelOptions, NamespaceConfig
from services.settings.client import ClientConfig, OneWayConfig, PlainConfig
from services.settings.processes import (
    AppConfig,
    FrontConfig,
    LoggingConfig,
    PageConfig,
    WorkerConfig,
)
from services.settings.rabbit import LaneConfig, RabbitConfig
from services.settings.section import Section

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


class Config(Section):
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
    def asks_about_subscribes(self) -> bool:
        """Whether the team's subscribe handler is asked about some channels."""
        return any(
            options.subscribe_handler for options in (self.without_namespace, *self.namespace)
        )

    @property
    def longest_history_ttl(self) -> float:
        """Seconds for which some channel's publications may be asked for."""
        return max(options.history_ttl for options in (self.without_namespace, *self.namespace))
