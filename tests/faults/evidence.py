"""Sorts journals into what was sent and what each subscriber was owed, without judging it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.faults.journal import (
    Acknowledged,
    Attempted,
    Journal,
    Left,
    Received,
    Refused,
    Resumption,
    Subscribed,
    Unresolved,
)


@dataclass
class Attempt:
    """One try to publish, and what its sender was told in the end."""

    channel: str
    is_sound: bool
    outcome: type[Acknowledged] | type[Refused] | type[Unresolved] = Unresolved

    @property
    def is_promised(self) -> bool:
        """Whether its sender may rely on its delivery."""
        return self.outcome is Acknowledged and self.is_sound

    @property
    def may_be_delivered(self) -> bool:
        """Whether anybody may receive it at all."""
        return self.outcome is not Refused and self.is_sound


@dataclass
class Span:
    """What a subscriber received of a channel from one position on, with no loss signalled."""

    epoch: str
    start: int
    is_open: bool = True
    """Nothing ended it, so it should reach as far as anybody's."""
    received: list[tuple[int, str]] = field(default_factory=list)
    """Offset and attempt, in the order of their arrival."""


@dataclass
class Following:
    """One subscriber's reception of one channel."""

    client: str
    channel: str
    spans: list[Span] = field(default_factory=list)

    def resume(self, subscribed: Subscribed) -> None:
        """Go on after a subscribe reply.

        Only an answer that admits a loss, or a subscription made anew by the client's own wish,
        ends the span before it; being "recovered" into another epoch does not.
        """
        current = self.spans[-1] if self.spans else None
        is_recovered = subscribed.resumption is Resumption.RECOVERED
        if current is not None and is_recovered and current.epoch == subscribed.epoch:
            current.is_open = True
            return
        if current is not None:
            current.is_open = is_recovered
        self.spans.append(Span(subscribed.epoch, subscribed.offset))


@dataclass
class Evidence:
    """All journals of a run, sorted."""

    attempts: dict[str, Attempt] = field(default_factory=dict)
    followings: list[Following] = field(default_factory=list)
    strays: list[tuple[str, Received]] = field(default_factory=list)
    """Receptions outside any subscription, with the client that noted them."""
    resumptions: Counter[Resumption] = field(default_factory=Counter)


def gather(journals: Iterable[Journal]) -> Evidence:
    """Sort the events of all clients.

    Raises:
        ValueError: the journals are no faithful ones: an attempt's id was used twice.
    """
    evidence = Evidence()
    for journal in journals:
        _gather_sending(journal, evidence)
        _gather_reception(journal, evidence)
    return evidence


def _gather_sending(journal: Journal, evidence: Evidence) -> None:
    for event in journal.events:
        match event:
            case Attempted(channel, name):
                if name in evidence.attempts:
                    raise ValueError(f"attempt {name} was made twice")
                evidence.attempts[name] = Attempt(channel, event.is_sound)
            case Acknowledged(name) | Refused(name) | Unresolved(name):
                evidence.attempts[name].outcome = type(event)
            case _:
                pass


def _gather_reception(journal: Journal, evidence: Evidence) -> None:
    followings: dict[str, Following] = {}
    for event in journal.events:
        match event:
            case Subscribed(channel):
                evidence.resumptions[event.resumption] += 1
                following = followings.setdefault(channel, Following(journal.client, channel))
                following.resume(event)
            case Received(channel, epoch, offset, name):
                current = followings[channel].spans[-1] if channel in followings else None
                if current is not None and current.epoch == epoch:
                    current.received.append((offset, name))
                else:
                    evidence.strays.append((journal.client, event))
            case Left(channel):
                followings[channel].spans[-1].is_open = False
            case _:
                pass
    evidence.followings += followings.values()
