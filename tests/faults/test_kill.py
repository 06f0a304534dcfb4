"""kill -9 of a worker, a front and the RabbitMQ node under load: nothing acknowledged is lost.

Twenty clients publish 20,000 publications to ten channels over two fronts; three subscribers a
channel recover when they are cut off. What was struck is struck when 30 to 70 % are acknowledged,
and deliveries that were not settled come back to a worker. The clients' journals decide.

So that a strike certainly finds unsettled deliveries, a worker is frozen at an arbitrary moment,
entries pile up before it, and then comes the kill: what a kill at the moment of freezing would
leave, and a few deliveries more. Losing a front makes no delivery come back, so there a worker
is killed as well, a little later.
"""

from pathlib import Path

import pytest

from broker.local.node import LocalNode
from tests.faults.checker import Report
from tests.faults.load import (
    SUBSCRIBERS_A_CHANNEL,
    WHOLE,
    Load,
    under_load,
)
from tests.system.deployment import Access, Deployment, deployed
from tests.system.process import ServerProcess

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(150)]

PREFIX = "killed."


def busiest_first(deployment: Deployment) -> list[ServerProcess]:
    """The workers, that with the most partitions first: which one has them is a matter of luck."""
    return sorted(deployment.workers, key=lambda each: -len(each.events("partition claimed")))


def redeliveries(*workers: ServerProcess) -> int:
    events = [event for worker in workers for event in worker.events("redelivered")]
    return sum(event["deliveries"] for event in events)


def assert_struck_in_the_middle(load: Load) -> None:
    assert 0.3 <= load.share_acknowledged <= 0.7


def assert_nothing_acknowledged_was_harmed(report: Report) -> None:
    assert not report.stories, str(report)
    assert report.unresumed == 0, str(report)
    assert report.acknowledged + report.unresolved == WHOLE.publications, str(report)
    # A strike leaves open at most what was under way, so nearly all the promises are put to test.
    assert report.acknowledged >= 0.9 * WHOLE.publications, str(report)


async def kill_while_deliveries_are_unsettled(worker: ServerProcess, load: Load) -> None:
    worker.freeze()
    await load.until_entries_pile_up()
    assert_struck_in_the_middle(load)
    worker.kill9()


async def test_a_killed_worker_loses_doubles_and_swaps_nothing(
    deployment: Deployment, tmp_path: Path
) -> None:
    killed, survivor = busiest_first(deployment)
    async with under_load(deployment.front_urls, seed=1, directory=tmp_path) as load:
        await load.until_acknowledged(0.35)
        before = redeliveries(survivor)
        await kill_while_deliveries_are_unsettled(killed, load)
        report = await load.finish()

        assert redeliveries(survivor) > before
        assert_nothing_acknowledged_was_harmed(report)


async def test_a_killed_front_loses_doubles_and_swaps_nothing(
    deployment: Deployment, tmp_path: Path
) -> None:
    killed, survivor = busiest_first(deployment)
    async with under_load(deployment.front_urls, seed=2, directory=tmp_path) as load:
        await load.until_acknowledged(0.35)
        deployment.fronts[0].process.kill9()
        assert_struck_in_the_middle(load)
        before = redeliveries(survivor)
        await load.until_acknowledged(0.5)
        await kill_while_deliveries_are_unsettled(killed, load)
        report = await load.finish()

        assert redeliveries(survivor) > before
        # Two in three subscribers were on that front, and all of them found what they missed.
        assert report.resumed >= len(WHOLE.channels) * SUBSCRIBERS_A_CHANNEL / 2
        assert_nothing_acknowledged_was_harmed(report)


async def test_a_killed_rabbitmq_node_loses_doubles_and_swaps_nothing(
    private_rabbit_node: LocalNode, tmp_path: Path
) -> None:
    node = private_rabbit_node
    access = Access.of_roles(node, PREFIX)
    async with (
        deployed(tmp_path, access, prefix=PREFIX) as deployment,
        under_load(deployment.front_urls, seed=3, directory=tmp_path) as load,
    ):
        await load.until_acknowledged(0.35)
        before = redeliveries(*deployment.workers)
        frozen = busiest_first(deployment)[0]
        frozen.freeze()
        await load.until_entries_pile_up()
        await node.kill()
        assert_struck_in_the_middle(load)
        frozen.resume()
        await node.start()
        report = await load.finish()

        assert redeliveries(*deployment.workers) > before
        # Publishes were refused or left open while it was away, and went on when it was back.
        assert report.refused + report.unresolved >= WHOLE.publishers
        assert_nothing_acknowledged_was_harmed(report)
