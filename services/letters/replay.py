"""Submits the entries of dead letters again, and drops each letter once its entry is safe.

Killed at any moment and started again, it goes on with the letters that are left. Those whose
entries were confirmed and which were not dropped yet are submitted twice, with the same key, so
that they are carried out once.

Rules: one batch at a time, so that a partition's order is that of the plan.
"""

import asyncio
import secrets

from broker.batch import encode_unheard
from broker.errors import BrokerUnavailable, SubmitRefused
from broker.interface import Broker, LetterReader
from services.letters.plan import Plan

# A broker that holds publishers back says nothing. Whoever replays is not to wait without a word.
_CONFIRM_SECONDS = 30.0


class ReplayStopped(Exception):
    """Not all was replayed; the text says how much, and why no more."""

    def __init__(self, done: int, of: int, why: str) -> None:
        super().__init__(
            f"stopped after {done} of {of}: {why}. What is left is still there: replay again,"
            " within the hour nothing is carried out twice"
        )


async def replay(broker: Broker, letters: LetterReader, plan: Plan) -> int:
    """Submit what is planned, dropping its letters; give the number of entries.

    Raises:
        ReplayStopped: the pool is full, or the broker went away.

    Cancelling: what is done is done; the rest is still there.
    """
    producer = f"replay-{secrets.token_hex(8)}"
    done = 0
    for partition, number, planned in plan.batches():
        body = encode_unheard(producer, number, [each.entry for each in planned])
        try:
            async with asyncio.timeout(_CONFIRM_SECONDS):
                await broker.inbound(partition).submit(
                    body,
                    entries=len(planned),
                    message_id=f"{producer}/{partition.name}/{number}",
                )
            for each in planned:
                for held in each.letters:
                    await letters.drop(held)
        except SubmitRefused:
            why = f"the pool inbound.{partition.name} is full, or not there"
            raise ReplayStopped(done, plan.entries, why) from None
        except TimeoutError:
            why = "RabbitMQ takes nothing, maybe for want of memory or disk"
            raise ReplayStopped(done, plan.entries, why) from None
        except BrokerUnavailable as error:
            raise ReplayStopped(done, plan.entries, f"RabbitMQ went away: {error}") from error
        done += len(planned)
    return done
