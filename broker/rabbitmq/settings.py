"""Where the broker is, and under which names."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RabbitSettings:
    """What a process must know to use a RabbitMQ."""

    urls: tuple[str, ...]
    """AMQP URLs of the cluster's nodes; any one that answers will do."""
    prefix: str = "forebay."
    heartbeat_seconds: int = 10
    """A process that is silent for about three of these is taken for dead by the broker."""
    connection_name: str = "forebay"
    """As the management UI shows it."""
    is_pulsed: bool = True
    """Whether it is to know at once when the broker takes no more; see `broker.rabbitmq.pulse`."""
