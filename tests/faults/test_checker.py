"""The checker finds what is seeded into clean journals, and nothing in those left alone."""

from collections import Counter
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.checker import Offence, judge
from tests.faults.journal import (
    Acknowledged,
    Attempted,
    Event,
    Interrupted,
    Journal,
    Left,
    Received,
    Refused,
    RefusedLate,
    Resumption,
    Subscribed,
    Unresolved,
)

EPOCH = "e1"

patient = settings(deadline=None)  # the machine may have other work


class Run:
    """A faithful server's run: what clients would have noted. Tests then tamper with it."""

    def __init__(self, *, senders: int = 1, subscribers: int = 2, channels: int = 1) -> None:
        self.senders = [Journal(f"sender-{each}") for each in range(senders)]
        self.subscribers = [Journal(f"subscriber-{each}") for each in range(subscribers)]
        self.channels = [f"channel-{each}" for each in range(channels)]
        self.tops = Counter[str]()
        self.session = 1
        self._away: set[int] = set()
        self._ids = count(1)
        self._missed: dict[int, list[Received]] = {each: [] for each in range(subscribers)}
        for journal in self.subscribers:
            for channel in self.channels:
                journal.note(Subscribed(channel, EPOCH, 0, Resumption.FRESH))

    @property
    def journals(self) -> list[Journal]:
        return [*self.senders, *self.subscribers]

    def attempt(self, sender: int = 0, channel: int = 0) -> Attempted:
        attempted = Attempted(self.channels[channel], f"a{next(self._ids)}", self.session)
        self.senders[sender].note(attempted)
        return attempted

    def deliver(self, attempted: Attempted) -> None:
        self.tops[attempted.channel] += 1
        offset = self.tops[attempted.channel]
        received = Received(attempted.channel, EPOCH, offset, attempted.attempt)
        for each, journal in enumerate(self.subscribers):
            if each in self._away:
                self._missed[each].append(received)
            else:
                journal.note(received)

    def publish(self, sender: int = 0, channel: int = 0) -> Attempted:
        attempted = self.attempt(sender, channel)
        self.deliver(attempted)
        self.senders[sender].note(Acknowledged(attempted.attempt))
        return attempted

    def interrupt(self, subscriber: int) -> None:
        self._away.add(subscriber)

    def resume(self, subscriber: int, resumption: Resumption) -> None:
        self._away.discard(subscriber)
        journal, missed = self.subscribers[subscriber], self._missed[subscriber]
        for channel in self.channels:
            mine = [received for received in missed if received.channel == channel]
            is_recovered = resumption is Resumption.RECOVERED
            offset = self.tops[channel] - (len(mine) if is_recovered else 0)
            journal.note(Subscribed(channel, EPOCH, offset, resumption))
            if is_recovered:
                journal.events += mine
        missed.clear()


@st.composite
def runs(draw: st.DrawFn, *, with_signalled_losses: bool = False) -> Run:
    """Clean runs in which every subscriber received at least two acknowledged publications."""
    run = Run(
        senders=draw(st.integers(1, 3)),
        subscribers=draw(st.integers(2, 3)),
        channels=draw(st.integers(1, 2)),
    )
    resumptions = [Resumption.RECOVERED]
    if with_signalled_losses:
        resumptions.append(Resumption.UNRECOVERED)
    for step in draw(st.lists(st.sampled_from(STEPS), max_size=30)):
        sender = draw(st.integers(0, len(run.senders) - 1))
        channel = draw(st.integers(0, len(run.channels) - 1))
        subscriber = draw(st.integers(0, len(run.subscribers) - 1))
        match step:
            case "interrupt":
                run.interrupt(subscriber)
            case "resume":
                run.resume(subscriber, draw(st.sampled_from(resumptions)))
            case "reconnect":
                run.session += 1
            case "publish":
                run.publish(sender, channel)
            case outcome:
                _publish_without_acknowledgement(run, sender, channel, outcome)
    for subscriber in range(len(run.subscribers)):
        run.resume(subscriber, draw(st.sampled_from(resumptions)))
    run.publish()
    run.publish()
    return run


STEPS = ["publish"] * 4 + ["refused", "vanished", "recovered", "interrupt", "resume", "reconnect"]


def _publish_without_acknowledgement(run: Run, sender: int, channel: int, outcome: str) -> None:
    attempted = run.attempt(sender, channel)
    if outcome == "recovered":
        run.deliver(attempted)
    if outcome == "refused":
        run.senders[sender].note(Refused(attempted.attempt, 111))
    else:
        run.senders[sender].note(Unresolved(attempted.attempt, "connection lost"))


def received_at(journal: Journal) -> list[int]:
    """Where in the journal its receptions are."""
    return [index for index, event in enumerate(journal.events) if isinstance(event, Received)]


def received(journal: Journal, index: int) -> Received:
    event: Event = journal.events[index]
    assert isinstance(event, Received)
    return event


@patient
@given(runs())
def test_a_clean_run_is_found_clean(run: Run) -> None:
    report = judge(run.journals)

    assert not report.stories
    assert report.attempted == report.acknowledged + report.refused + report.unresolved
    assert report.delivered == report.acknowledged + report.recovered


@patient
@given(runs(with_signalled_losses=True))
def test_a_run_in_which_every_loss_was_signalled_is_found_clean(run: Run) -> None:
    assert not judge(run.journals).stories


@patient
@given(runs(), st.data())
def test_a_seeded_loss_is_found(run: Run, data: st.DataObject) -> None:
    journal = data.draw(st.sampled_from(run.subscribers))
    promised = {
        event.attempt
        for sender in run.senders
        for event in sender.events
        if isinstance(event, Acknowledged)
    }
    lost = data.draw(
        st.sampled_from(
            [at for at in received_at(journal) if received(journal, at).attempt in promised]
        )
    )
    del journal.events[lost]

    assert judge(run.journals).offences == {Offence.LOST: 1}


@patient
@given(runs())
def test_a_loss_for_all_subscribers_is_found(run: Run) -> None:
    run.senders[0].note(Acknowledged(run.attempt().attempt))

    assert judge(run.journals).offences == {Offence.LOST: 1}


@patient
@given(runs(), st.data())
def test_a_seeded_duplicate_is_found(run: Run, data: st.DataObject) -> None:
    journal = data.draw(st.sampled_from(run.subscribers))
    original = data.draw(st.sampled_from(received_at(journal)))
    later = data.draw(st.integers(original + 1, len(journal.events)))
    journal.events.insert(later, journal.events[original])

    assert judge(run.journals).offences == {Offence.DUPLICATED: 1}


@patient
@given(runs())
def test_a_publication_with_two_offsets_is_found_for_each_who_received_both(run: Run) -> None:
    attempted = run.publish()
    run.deliver(attempted)

    assert judge(run.journals).offences == {Offence.DUPLICATED: len(run.subscribers)}


def test_a_publication_that_has_another_offset_for_another_subscriber_is_found() -> None:
    run = Run()
    run.publish()
    run.interrupt(1)
    attempted = run.attempt()
    run.deliver(attempted)
    run.resume(1, Resumption.UNRECOVERED)
    run.interrupt(0)
    run.deliver(attempted)
    run.resume(0, Resumption.UNRECOVERED)

    assert judge(run.journals).offences == {Offence.DUPLICATED: 1}


@patient
@given(runs(), st.data())
def test_a_seeded_swap_is_found(run: Run, data: st.DataObject) -> None:
    journal = data.draw(st.sampled_from(run.subscribers))
    pairs = [
        (at, at + 1)
        for at in received_at(journal)
        if at + 1 < len(journal.events)
        and isinstance(journal.events[at + 1], Received)
        and received(journal, at).channel == received(journal, at + 1).channel
    ]
    first, second = data.draw(st.sampled_from(pairs))
    journal.events[first], journal.events[second] = journal.events[second], journal.events[first]

    assert judge(run.journals).offences == {Offence.REORDERED: 1}


@patient
@given(runs(), st.data())
def test_two_subscribers_with_different_orders_are_found(run: Run, data: st.DataObject) -> None:
    journal = data.draw(st.sampled_from(run.subscribers))
    places = received_at(journal)
    first = data.draw(st.sampled_from(places))
    channel = received(journal, first).channel
    others = [at for at in places if at != first and received(journal, at).channel == channel]
    if not others:  # the only one of its channel cannot change places
        return
    second = data.draw(st.sampled_from(others))
    one, other = received(journal, first), received(journal, second)
    journal.events[first] = replace(one, attempt=other.attempt)
    journal.events[second] = replace(other, attempt=one.attempt)

    report = judge(run.journals)

    assert report.offences[Offence.REORDERED] >= 2
    assert not report.offences[Offence.LOST]


def test_a_senders_publications_in_another_order_for_everybody_are_found() -> None:
    run = Run()
    first, second = run.attempt(), run.attempt()
    run.deliver(second)
    run.deliver(first)

    assert judge(run.journals).offences == {Offence.REORDERED: 1}


def test_an_acknowledged_publication_overtaken_by_the_senders_next_session_is_found() -> None:
    run = Run()
    first = run.attempt()
    run.senders[0].note(Acknowledged(first.attempt))
    run.session += 1
    run.publish()
    run.deliver(first)

    assert judge(run.journals).offences == {Offence.REORDERED: 1}


def test_an_unanswered_publication_may_come_after_those_of_the_senders_next_session() -> None:
    run = Run()
    first = run.attempt()
    run.session += 1
    run.publish()
    run.deliver(first)

    assert not judge(run.journals).stories


@patient
@given(runs(), st.data())
def test_a_phantom_is_found(run: Run, data: st.DataObject) -> None:
    journal = data.draw(st.sampled_from(run.subscribers))
    channel = run.channels[0]
    journal.note(Received(channel, EPOCH, run.tops[channel] + 1, "never sent"))

    assert judge(run.journals).offences == {Offence.UNEXPECTED: 1}


@patient
@given(runs())
def test_a_refused_publication_that_is_delivered_is_found(run: Run) -> None:
    attempted = run.attempt()
    run.senders[0].note(Refused(attempted.attempt, 111))
    run.deliver(attempted)

    assert judge(run.journals).offences == {Offence.UNEXPECTED: len(run.subscribers)}


def test_a_publication_delivered_in_another_channel_is_found() -> None:
    run = Run(subscribers=1, channels=2)
    attempted = run.attempt(channel=0)
    run.deliver(replace(attempted, channel=run.channels[1]))

    assert judge(run.journals).offences == {Offence.UNEXPECTED: 1}


def test_a_publication_delivered_to_someone_who_never_subscribed_is_found() -> None:
    run = Run()
    run.publish()
    stranger = Journal("stranger", [received(run.subscribers[0], 1)])

    assert judge([*run.journals, stranger]).offences == {Offence.UNEXPECTED: 1}


@patient
@given(runs())
def test_a_skipped_offset_is_found(run: Run) -> None:
    run.tops[run.channels[0]] += 1
    run.publish()

    assert judge(run.journals).offences == {Offence.GAP: 1}


@patient
@given(runs())
def test_an_unanswered_publication_that_only_some_receive_is_found(run: Run) -> None:
    run.deliver(run.attempt())
    run.publish()
    journal = run.subscribers[0]
    del journal.events[received_at(journal)[-2]]

    assert judge(run.journals).offences == {Offence.UNEVEN: 1}


@patient
@given(runs(), st.integers(1, 3))
def test_a_subscriber_that_stops_receiving_is_found(run: Run, missed: int) -> None:
    run.interrupt(0)
    for _ in range(missed):
        run.publish()

    assert judge(run.journals).offences == {Offence.LOST: missed}


def test_a_recovery_that_claims_too_much_is_found() -> None:
    run = Run()
    run.publish()
    run.interrupt(0)
    run.publish()
    run.subscribers[0].note(Subscribed(run.channels[0], EPOCH, 2, Resumption.RECOVERED))
    run.subscribers[0].note(Received(run.channels[0], EPOCH, 3, run.attempt().attempt))

    assert judge(run.journals).offences[Offence.LOST] == 1


def test_a_recovery_into_another_epoch_is_no_excuse() -> None:
    run = Run()
    run.publish()
    run.interrupt(0)
    run.publish()
    run.subscribers[0].note(Subscribed(run.channels[0], "e2", 0, Resumption.RECOVERED))

    assert judge(run.journals).offences == {Offence.LOST: 1}


def test_a_loss_that_was_signalled_is_counted_and_no_offence() -> None:
    run = Run()
    run.publish()
    run.interrupt(0)
    run.publish()
    run.resume(0, Resumption.UNRECOVERED)
    run.publish()

    report = judge(run.journals)

    assert not report.stories
    assert report.unresumed == 1


def test_a_subscriber_that_left_is_owed_nothing_more() -> None:
    run = Run()
    run.publish()
    run.subscribers[0].note(Left(run.channels[0]))
    run.interrupt(0)
    run.publish()

    assert not judge(run.journals).stories


def unsound(run: Run) -> Attempted:
    """An attempt in a queued channel whose payload only the worker can refuse, answered already."""
    attempted = run.attempt()
    journal = run.senders[0]
    journal.events[journal.events.index(attempted)] = replace(attempted, is_sound=False)
    journal.note(Acknowledged(attempted.attempt))
    return attempted


def test_a_refusal_that_came_after_the_answer_is_no_loss() -> None:
    run = Run()
    run.senders[0].note(RefusedLate(unsound(run).attempt, 107))
    run.publish()

    report = judge(run.journals)

    assert not report.stories
    assert (report.acknowledged, report.refused_late, report.delivered) == (2, 1, 1)


@patient
@given(runs())
def test_a_late_refusal_that_is_not_told_is_found(run: Run) -> None:
    unsound(run)

    assert judge(run.journals).offences == {Offence.UNTOLD: 1}


def test_a_late_refusal_is_owed_to_nobody_whose_session_has_ended() -> None:
    run = Run()
    unsound(run)
    run.senders[0].note(Interrupted("cut"))

    assert not judge(run.journals).stories


@patient
@given(runs())
def test_an_unsound_publication_that_is_delivered_is_found(run: Run) -> None:
    attempted = unsound(run)
    run.senders[0].note(RefusedLate(attempted.attempt, 107))
    run.deliver(attempted)

    assert judge(run.journals).offences == {Offence.UNEXPECTED: len(run.subscribers)}


@patient
@given(runs())
def test_a_sound_publication_that_is_answered_and_not_delivered_is_found_though_queued(
    run: Run,
) -> None:
    attempted = run.attempt()
    run.senders[0].note(Acknowledged(attempted.attempt))
    run.senders[0].note(Unresolved(run.attempt().attempt, "cut"))

    assert judge(run.journals).offences == {Offence.LOST: 1}


@patient
@given(runs())
def test_an_unresolved_publication_that_is_delivered_twice_is_found(run: Run) -> None:
    attempted = run.attempt()
    run.senders[0].note(Unresolved(attempted.attempt, "outcome unknown"))
    run.deliver(attempted)
    run.deliver(attempted)

    assert judge(run.journals).offences == {Offence.DUPLICATED: len(run.subscribers)}


def test_an_attempt_made_twice_spoils_the_journals() -> None:
    run = Run()
    run.senders[0].note(run.publish())

    with pytest.raises(ValueError, match="made twice"):
        judge(run.journals)


def test_the_report_tells_the_counts_and_the_stories() -> None:
    run = Run()
    run.publish()
    del run.subscribers[0].events[-1]

    text = str(judge(run.journals))

    assert "attempted=1 acknowledged=1" in text
    assert "lost=1 duplicated=0 reordered=0" in text
    assert "subscriber-0 did not receive a1 of channel-0" in text
