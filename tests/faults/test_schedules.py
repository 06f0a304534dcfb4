"""A few seeded schedules, of those that `python -m tests.faults` runs by the hundred.

A seed that is found to break a promise is added here when it is mended.
"""

from pathlib import Path

import pytest

from broker.local.node import LocalNode
from tests.faults.arena import open_arena
from tests.faults.rabbit import SingleNode
from tests.faults.run import run_schedule
from tests.faults.schedule import Deck, draw
from tests.faults.tally import line_of

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(300)]

# Between them: something before and something after each moment of a batch's way, in every part.
# 132: a client comes from a front that dies to one that cannot read on, and is ahead of it.
SEEDS = {Deck.PROCESSES: (1, 7, 15, 132), Deck.BROKER: (1,)}


@pytest.mark.parametrize("deck", SEEDS)
async def test_no_schedule_breaks_a_promise(
    deck: Deck, private_rabbit_node: LocalNode, tmp_path: Path
) -> None:
    async with open_arena(tmp_path, SingleNode(private_rabbit_node)) as arena:
        for seed in SEEDS[deck]:
            result = await run_schedule(arena, draw(deck, seed), tmp_path / f"seed-{seed}")

            assert result.is_clean, line_of(result)
            assert all(struck.is_reached for struck in result.struck), line_of(result)


async def test_no_schedule_breaks_a_promise_where_handlers_crash_at_random(
    private_rabbit_node: LocalNode, tmp_path: Path
) -> None:
    rabbit = SingleNode(private_rabbit_node)
    async with open_arena(tmp_path, rabbit, app="tests.faults.crashing:app") as arena:
        for seed in (2, 7):
            schedule = draw(Deck.PROCESSES, seed)
            result = await run_schedule(arena, schedule, tmp_path / f"seed-{seed}")

            assert result.is_clean, line_of(result)
