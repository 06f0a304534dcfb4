"""Reading a stream of RabbitMQ's: what is bounded that the promises of a stream say nothing of."""

from broker.local.node import LocalNode
from broker.rabbitmq.stream import PREFETCH
from tests.contract.nodes import FIRST, prepare_rabbit
from tests.contract.waiting import append_all, read_records, read_to

BODIES = [b"record %d" % number for number in range(5 * PREFETCH)]


async def test_a_reader_that_is_slow_is_given_only_a_little_ahead(
    rabbit_node: LocalNode, rabbit_prefix: str
) -> None:
    node = await prepare_rabbit(rabbit_node.amqp_url, rabbit_prefix)
    async with node.open() as broker:
        log = broker.log(FIRST)
        await append_all(log, BODIES)
        async with log.read(0) as slow, log.read(0) as quick:
            given = len(await anext(aiter(slow)))
            await read_to(quick, BODIES[-1])
            # Whatever may come without being asked for has come by now; asking lets more come.
            given += len(await anext(aiter(slow)))
            assert given <= 2 * PREFETCH
            all_of_it = 1 + len(BODIES)
            assert given + len(await read_records(slow, all_of_it - given)) == all_of_it
