"""`[rabbitmq]` and `[lanes]`: the broker, and what Forebay has in it."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from services.settings.section import MIB, Section, StringList
from services.units import Bytes, Seconds


class RabbitConfig(Section):
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


class LaneConfig(Section):
    """`[lanes.<name>]`: partitions of their own for some namespaces."""

    partitions: int = Field(
        4, ge=1, le=64, description="fixed once made; the most workers the lane can use"
    )
