"""What becomes of an entry, whoever put it into the pool."""

import pytest
from msgspec import Raw

from broker.batch import Entry, EntryKind
from broker.partition import Partition, partition_number
from services.settings import ChannelOptions, ClientConfig, Config, NamespaceConfig
from services.wire.errors import ErrorCode
from services.worker.deciding import Deciding, Decision, ToCut, ToHandle, ToPublish, ToRefuse
from tests.unit.worker.parts import publish

LIMIT_BYTES = 2048

CONFIG = Config(
    client=ClientConfig(message_size_limit=LIMIT_BYTES),
    without_namespace=ChannelOptions(history_size=1, history_ttl=60.0),
    namespace=(
        NamespaceConfig(name="queued", reply="queued"),
        NamespaceConfig(name="plain"),
        NamespaceConfig(name="bytes", data="binary"),
    ),
)
DECIDING = Deciding(CONFIG)


def decide(entry: Entry) -> Decision:
    """Decide as the worker of the channel's own partition."""
    count = CONFIG.lanes["main"].partitions
    decided = DECIDING.decide(entry, Partition("main", partition_number(entry.channel, count)))
    assert not isinstance(decided, ToHandle)
    return decided


def refusal(entry: Entry) -> ToRefuse:
    decision = decide(entry)
    assert isinstance(decision, ToRefuse)
    return decision


@pytest.mark.parametrize(("channel", "has_history"), [("a", True), ("plain:a", False)])
def test_a_valid_entry_is_published_with_history_where_its_namespace_says_so(
    channel: str, has_history: bool
) -> None:
    entry = publish(channel)
    assert decide(entry) == ToPublish(entry, has_history)


def test_the_sender_and_the_payload_are_published_as_they_came() -> None:
    entry = Entry(EntryKind.PUBLISH, "a", Raw(b'{"user":"42"}'), b'{ "a" : 1.50 }')
    decision = decide(entry)
    assert isinstance(decision, ToPublish)
    assert decision.entry is entry


@pytest.mark.parametrize("payload", [b"", b"{", b'"\xff"', b"1e999", b"[1,]", b'"\\ud800"'])
def test_a_payload_that_is_no_sound_json_is_refused(payload: bytes) -> None:
    assert refusal(publish("a", payload)).outcome.code == ErrorCode.BAD_REQUEST.error.code


@pytest.mark.parametrize("payload", [b"\x00\xff\n", b"{", b'"\xff"'])
def test_any_bytes_are_published_where_the_namespace_says_so(payload: bytes) -> None:
    entry = publish("bytes:a", payload)
    assert decide(entry) == ToPublish(entry, has_history=False)
    too_large = publish("bytes:a", b"\xff" * (LIMIT_BYTES + 1))
    assert refusal(too_large).outcome.code == ErrorCode.BAD_REQUEST.error.code


def test_a_payload_over_the_limit_is_refused_and_one_at_the_limit_is_not() -> None:
    at_limit = b'"%s"' % (b"x" * (LIMIT_BYTES - 2))
    assert isinstance(decide(publish("a", at_limit)), ToPublish)
    assert str(LIMIT_BYTES) in refusal(publish("a", at_limit + b" ")).outcome.message


def test_a_channel_of_an_unknown_namespace_is_refused() -> None:
    assert refusal(publish("nobody:a")).outcome.code == ErrorCode.UNKNOWN_CHANNEL.error.code


@pytest.mark.parametrize("channel", ["", "x" * 256, "\u00e9"])
def test_a_channel_that_may_not_be_called_so_is_refused(channel: str) -> None:
    assert refusal(publish(channel)).outcome.code == ErrorCode.BAD_REQUEST.error.code


@pytest.mark.parametrize(
    ("channel", "is_kept"), [("queued:a", True), ("plain:a", False), ("nobody:a", False)]
)
def test_only_what_was_answered_as_queued_is_kept_when_refused(channel: str, is_kept: bool) -> None:
    assert refusal(publish(channel, b"{")).is_kept is is_kept


def test_a_cut_names_the_epoch_that_is_to_end() -> None:
    entry = Entry(EntryKind.CUT, "", Raw(b"null"), b"1a2b3c4d")
    assert decide(entry) == ToCut("1a2b3c4d")


def test_a_cut_of_nonsense_is_no_error() -> None:
    decision = decide(Entry(EntryKind.CUT, "nobody:a", Raw(b"null"), b"\xff\x00"))
    assert isinstance(decision, ToCut)


def test_a_decision_is_the_same_every_time() -> None:
    for entry in (publish("a"), publish("nobody:a"), publish("a", b"{")):
        assert decide(entry) == decide(entry)


def test_an_entry_that_came_by_another_partitions_pool_is_refused() -> None:
    count = CONFIG.lanes["main"].partitions
    other = Partition("main", (partition_number("a", count) + 1) % count)
    decision = DECIDING.decide(publish("a"), other)
    assert isinstance(decision, ToRefuse)
    assert decision.outcome.code == ErrorCode.INTERNAL.code
