"""The broker's promises kept by RabbitMQ 3.10 to 4.x, over AMQP 0-9-1.

    settings     where the broker is
    names        what the queues and exchanges are called
    topology     what they are, as data, and who may do what; applied by an administrator
    connection   one supervised AMQP connection, and the translation of its errors
    publisher    one AMQP channel with confirms
    pulse        whether confirms are to be expected
    stream       appending to and following logs and snapshots
    inbound      the pool: submitting batches, taking deliveries
    bus dead     messages between processes; what could not be handled
    node         all of it as one `Broker`

Rules: the only package that imports aio_pika or aiormq; none of their types or exceptions leaves.
"""

from broker.rabbitmq.node import open_rabbitmq
from broker.rabbitmq.settings import RabbitSettings
from broker.rabbitmq.topology import TopologyLimits, apply_topology

__all__ = ["RabbitSettings", "TopologyLimits", "apply_topology", "open_rabbitmq"]
