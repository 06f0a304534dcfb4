"""Judges a run by its clients' journals alone: what was lost, doubled, swapped or made up.

The counts are those of the RabbitMQ team's Jepsen tests. `recovered` are attempts whose sender was
never told their fate and which were delivered all the same: that is allowed, once, and for all
subscribers alike.

Rules:
- Nothing here knows the server; positions are what subscribers were told.
- Each offence is counted once, under the kind that says most about it, and told in words.
- A sender that was there is told when what it was answered for is refused later.
- A subscriber is owed what lies after the position it subscribed at, until it leaves. A resumption
  that the server called unrecovered is a loss that was signalled, not an offence.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise

from tests.faults.evidence import Evidence, Following, Span, gather
from tests.faults.journal import (
    Acknowledged,
    Attempted,
    Interrupted,
    Journal,
    Refused,
    RefusedLate,
    Resumption,
    Unresolved,
)

MOST_STORIES = 20

Lane = tuple[str, str]
"""A channel and its epoch: within it, offsets mean something."""


class Offence(Enum):
    """A promise that was not kept."""

    LOST = "acknowledged, but a subscriber that was owed it did not receive it"
    DUPLICATED = "received twice by a subscriber, or given two offsets"
    REORDERED = "received in another order than others saw, or than its offset or sender says"
    UNEVEN = "never acknowledged, and received by only some of those who were owed it"
    GAP = "an offset that nobody received, and nobody was told"
    UNEXPECTED = "received, but never attempted there, refused to its sender, or unsound"
    UNTOLD = "acknowledged, refused later, and its sender was there and was not told"


@dataclass(frozen=True)
class Report:
    """What the journals of a run show."""

    attempted: int
    acknowledged: int
    refused: int
    refused_late: int
    """Of the acknowledged ones, where the answer came before anybody had looked at them."""
    unresolved: int
    delivered: int
    recovered: int
    resumed: int
    """Subscriptions that went on after an interruption without a hole."""
    unresumed: int
    """Subscriptions whose server said that it could not fill the hole."""
    offences: Counter[Offence]
    stories: list[str]

    def __str__(self) -> str:
        counted = {
            name: getattr(self, name)
            for name in (
                "attempted",
                "acknowledged",
                "refused",
                "refused_late",
                "unresolved",
                "delivered",
                "recovered",
                "resumed",
                "unresumed",
            )
        }
        counted |= {offence.name.lower(): self.offences[offence] for offence in Offence}
        lines = [" ".join(f"{name}={count}" for name, count in counted.items())]
        return "\n".join(lines + self.stories[:MOST_STORIES])


def judge(journals: Sequence[Journal]) -> Report:
    """Compare what senders were told with what subscribers received."""
    evidence = gather(journals)
    findings = _Findings(evidence)
    findings.check_receptions()
    findings.check_completeness()
    findings.check_senders_order(journals)
    findings.check_late_refusals(journals)
    outcomes = Counter(attempt.outcome for attempt in evidence.attempts.values())
    delivered = findings.offset_of.keys() & evidence.attempts.keys()
    return Report(
        attempted=len(evidence.attempts),
        acknowledged=outcomes[Acknowledged],
        refused=outcomes[Refused],
        refused_late=sum(
            isinstance(event, RefusedLate) for journal in journals for event in journal.events
        ),
        unresolved=outcomes[Unresolved],
        delivered=len(delivered),
        recovered=sum(evidence.attempts[name].outcome is Unresolved for name in delivered),
        resumed=evidence.resumptions[Resumption.RECOVERED],
        unresumed=evidence.resumptions[Resumption.UNRECOVERED],
        offences=findings.offences,
        stories=findings.stories,
    )


@dataclass
class _Findings:
    evidence: Evidence
    offences: Counter[Offence] = field(default_factory=Counter)
    stories: list[str] = field(default_factory=list)
    order: dict[Lane, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    """What is at each offset, as the first subscriber to note it was told."""
    offset_of: dict[str, tuple[Lane, int]] = field(default_factory=dict)

    def accuse(self, offence: Offence, story: str) -> None:
        self.offences[offence] += 1
        self.stories.append(f"{offence.name}: {story}")

    def check_receptions(self) -> None:
        for client, event in self.evidence.strays:
            self.accuse(Offence.UNEXPECTED, f"{client} received {event} outside a subscription")
        for following in self.evidence.followings:
            seen: set[str] = set()
            for span in following.spans:
                self._check_span(following, span, seen)

    def _check_span(self, following: Following, span: Span, seen: set[str]) -> None:
        lane, last = (following.channel, span.epoch), span.start
        for offset, name in span.received:
            first_name = self.order[lane].setdefault(offset, name)
            story = f"{following.client} received {name} at {lane} {offset}"
            if not self._was_attempted(name, following.channel):
                self.accuse(Offence.UNEXPECTED, story)
            elif name in seen:
                self.accuse(Offence.DUPLICATED, f"{story}, again")
            elif first_name != name:
                self.accuse(Offence.REORDERED, f"{story}, others {first_name}")
            elif self.offset_of.setdefault(name, (lane, offset)) != (lane, offset):
                self.accuse(Offence.DUPLICATED, f"{story}, others at {self.offset_of[name]}")
            elif offset <= last:
                self.accuse(Offence.REORDERED, f"{story}, after {last}")
            seen.add(name)
            last = max(last, offset)

    def _was_attempted(self, name: str, channel: str) -> bool:
        attempt = self.evidence.attempts.get(name)
        return attempt is not None and attempt.channel == channel and attempt.may_be_delivered

    def check_completeness(self) -> None:
        holes: set[tuple[Lane, int, int]] = set()
        for following in self.evidence.followings:
            names = {name for span in following.spans for _, name in span.received}
            for span in following.spans:
                lane = (following.channel, span.epoch)
                owed = _owed(self.order[lane], span)
                holes |= {(lane, *hole) for hole in _holes([span.start, *owed])}
                missing = {owed[offset] for offset in owed} - names
                for name in sorted(missing & self.evidence.attempts.keys()):
                    self._accuse_of_missing(following, name)
        for lane, first, last in sorted(holes):
            self.accuse(Offence.GAP, f"nobody received {lane} {first} to {last}")
        self._check_nothing_vanished()

    def _accuse_of_missing(self, following: Following, name: str) -> None:
        attempt = self.evidence.attempts[name]
        offence = Offence.LOST if attempt.is_promised else Offence.UNEVEN
        self.accuse(offence, f"{following.client} did not receive {name} of {following.channel}")

    def _check_nothing_vanished(self) -> None:
        """Find what was acknowledged and nobody received, though somebody followed all along."""
        watched = {
            following.channel
            for following in self.evidence.followings
            if len(following.spans) == 1 and following.spans[0].is_open
        }
        received = {
            name
            for following in self.evidence.followings
            for span in following.spans
            for _, name in span.received
        }
        for name, attempt in self.evidence.attempts.items():
            is_awaited = attempt.is_promised and attempt.channel in watched
            if is_awaited and name not in received:
                self.accuse(Offence.LOST, f"nobody received {name} of {attempt.channel}")

    def check_late_refusals(self, journals: Sequence[Journal]) -> None:
        for journal in journals:
            for name in self._untold(journal):
                self.accuse(Offence.UNTOLD, f"{journal.client} still takes {name} for published")

    def _untold(self, journal: Journal) -> set[str]:
        """What a client's last session relies on, and nobody will ever receive."""
        relied_on: set[str] = set()
        for event in journal.events:
            match event:
                case Acknowledged(name) if not self.evidence.attempts[name].is_sound:
                    relied_on.add(name)
                case RefusedLate(name):
                    relied_on.discard(name)
                case Interrupted():
                    relied_on.clear()
                case _:
                    pass
        return relied_on

    def check_senders_order(self, journals: Sequence[Journal]) -> None:
        for journal in journals:
            for name, before in _overtaken(journal, self.offset_of):
                story = f"{journal.client} sent {name} after {before}, and it came before"
                self.accuse(Offence.REORDERED, story)


def _owed(order: dict[int, str], span: Span) -> dict[int, str]:
    """What lies after the span's start: up to anybody's last, or its own if something ended it."""
    offsets = [offset for offset, _ in span.received]
    end = max(order if span.is_open else offsets, default=span.start)
    return {offset: order[offset] for offset in sorted(order) if span.start < offset <= end}


def _holes(offsets: Sequence[int]) -> Iterator[tuple[int, int]]:
    for before, after in pairwise(offsets):
        if after > before + 1:
            yield before + 1, after - 1


def _overtaken(
    journal: Journal, offset_of: dict[str, tuple[Lane, int]]
) -> Iterator[tuple[str, str]]:
    """Find a sender's publications that stand before earlier ones in their channel.

    Of one session they keep the order they were sent in. Across sessions one is only known to be
    earlier if it had been acknowledged when the other was sent.
    """
    nothing = (0, "")
    of_session: dict[tuple[Lane, int], tuple[int, str]] = {}
    acknowledged: dict[Lane, tuple[int, str]] = {}
    for event in journal.events:
        if not isinstance(event, Attempted | Acknowledged) or event.attempt not in offset_of:
            continue
        name = event.attempt
        lane, offset = offset_of[name]
        if isinstance(event, Acknowledged):
            acknowledged[lane] = max(acknowledged.get(lane, nothing), (offset, name))
            continue
        before = max(
            of_session.get((lane, event.session), nothing), acknowledged.get(lane, nothing)
        )
        if before > (offset, name):
            yield name, before[1]
        of_session[lane, event.session] = max(before, (offset, name))
