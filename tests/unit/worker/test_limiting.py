"""Rates of channels and users, as the worker of a partition decides."""

from typing import NamedTuple

import orjson
import pytest
from msgspec import Raw

from broker.batch import NO_SENDER, Entry, EntryKind
from broker.partition import Partition
from services.settings import ChannelOptions, Config, LaneConfig, NamespaceConfig
from services.units import read_rate
from services.wire.errors import ErrorCode
from services.worker.deciding import Deciding, Decision, ToHandle, ToPublish, ToRefuse

MAIN = Partition("main", 0)
SECOND = 1_000_000_000


class Person(NamedTuple):
    """Who publishes."""

    user: str
    client: str = "0c6f1f0a-7d3e-4f0e-9a55-6f1c8d1d2b11"

    @property
    def sender(self) -> Raw:
        return Raw(orjson.dumps({"user": self.user, "client": self.client, "conn_info": {"a": 1}}))


ADA, BOB = Person("ada"), Person("bob")


class Worker:
    """A worker's decisions, and its time."""

    def __init__(self) -> None:
        self.now = 0
        config = Config(
            lanes={"main": LaneConfig(partitions=1)},
            without_namespace=ChannelOptions(rate=read_rate("3/s")),
            namespace=(
                NamespaceConfig(name="users", user_rate=read_rate("2/s")),
                NamespaceConfig(name="both", rate=read_rate("3/s"), user_rate=read_rate("2/m")),
                NamespaceConfig(name="queued", rate=read_rate("1/s"), reply="queued"),
                NamespaceConfig(name="free"),
            ),
        )
        self._deciding = Deciding(config, clock=lambda: self.now)

    def decide(self, channel: str, who: Person | None = ADA, payload: bytes = b"1") -> Decision:
        sender = NO_SENDER if who is None else who.sender
        decision = self._deciding.decide(Entry(EntryKind.PUBLISH, channel, sender, payload), MAIN)
        assert not isinstance(decision, ToHandle)
        return decision

    def published(self, count: int, channel: str, who: Person | None = ADA) -> int:
        """Of so many, how many are published."""
        return sum(isinstance(self.decide(channel, who), ToPublish) for _ in range(count))

    def refusal(self, channel: str, who: Person | None = ADA, payload: bytes = b"1") -> ToRefuse:
        decision = self.decide(channel, who, payload)
        assert isinstance(decision, ToRefuse)
        return decision


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_a_namespace_without_rates_has_none(worker: Worker) -> None:
    assert worker.published(1000, "free:a") == 1000


def test_all_publications_of_a_channel_count_together(worker: Worker) -> None:
    assert worker.published(2, "a", ADA) == 2
    assert worker.published(2, "a", BOB) == 1
    assert worker.published(5, "b", ADA) == 3
    worker.now += SECOND
    assert worker.published(5, "a", BOB) == 3


def test_each_user_counts_for_itself_in_each_channel(worker: Worker) -> None:
    assert worker.published(5, "users:a", ADA) == 2
    assert worker.published(5, "users:a", Person("ada", "another tab")) == 0
    assert worker.published(5, "users:a", BOB) == 2
    assert worker.published(5, "users:b", ADA) == 2
    worker.now += SECOND // 2
    assert worker.published(5, "users:a", ADA) == 1


def test_without_a_user_each_client_counts_for_itself(worker: Worker) -> None:
    one, other = Person("", "one"), Person("", "other")
    assert worker.published(5, "users:a", one) == 2
    assert worker.published(5, "users:a", other) == 2
    assert worker.published(5, "users:a", Person("one", "")) == 2


@pytest.mark.parametrize("channel", ["a", "users:a", "both:a"])
def test_what_the_team_publishes_is_not_held_to_rates_and_takes_nothing(
    worker: Worker, channel: str
) -> None:
    assert worker.published(50, channel, None) == 50
    assert worker.published(1, channel, ADA) == 1


@pytest.mark.parametrize("channel", ["a", "users:a", "both:a", "queued:a"])
def test_what_is_done_again_from_dead_letters_is_not_held_to_rates_and_takes_nothing(
    worker: Worker, channel: str
) -> None:
    entry = Entry(EntryKind.PUBLISH, channel, ADA.sender, b"1")
    for _ in range(50):
        assert isinstance(worker._deciding.decide_again(entry, MAIN), ToPublish)
    assert worker.published(1, channel, ADA) == 1


@pytest.mark.parametrize("sender", [b"[]", b"{}", b'{"user":5}', b"{"])
def test_senders_that_cannot_be_read_share_a_bucket(worker: Worker, sender: bytes) -> None:
    entry = Entry(EntryKind.PUBLISH, "users:a", Raw(sender), b"1")
    decisions = [worker._deciding.decide(entry, MAIN) for _ in range(5)]
    assert sum(isinstance(decision, ToPublish) for decision in decisions) == 2


def test_a_refusal_names_the_setting_and_may_be_tried_again(worker: Worker) -> None:
    worker.published(3, "a")
    outcome = worker.refusal("a").outcome
    assert outcome.code == ErrorCode.TOO_MANY_REQUESTS.code
    assert outcome.message == "too many requests: over 3/s in this channel (rate)"
    worker.published(2, "users:a")
    assert worker.refusal("users:a").outcome.message == (
        "too many requests: over 2/s of one user in this channel (user_rate)"
    )


def test_who_is_over_its_own_rate_takes_nothing_from_the_channels(worker: Worker) -> None:
    assert worker.published(50, "both:a", ADA) == 2
    assert worker.published(50, "both:a", BOB) == 1


def test_what_is_refused_anyway_takes_from_the_users_rate_and_not_from_the_channels(
    worker: Worker,
) -> None:
    for _ in range(2):
        assert worker.refusal("both:a", ADA, b"{").outcome.code == ErrorCode.BAD_REQUEST.code
    assert "user_rate" in worker.refusal("both:a", ADA, b"{").outcome.message
    assert worker.published(2, "both:a", BOB) == 2
    assert worker.published(2, "both:a", Person("eve")) == 1


def test_what_is_over_a_rate_is_not_set_aside_in_a_queued_namespace_either(worker: Worker) -> None:
    assert worker.published(1, "queued:a") == 1
    assert worker.refusal("queued:a").is_kept is False
    assert worker.refusal("queued:b", payload=b"{").is_kept is True
