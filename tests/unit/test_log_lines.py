"""Records as a person sees them, and which of a log a tail gives."""

import asyncio
import json

import msgspec
import pytest

from broker.embedded import EmbeddedBroker
from broker.errors import UndecodableBody
from broker.interface import Since
from broker.partition import Partition
from broker.record import Done, Fence, Outcomes, Published, Refused, Settled, encode_settled
from services.log_lines import ReadRecord, to_json, to_lines
from services.log_tail import read_start, tail
from services.view.ledger import Judgement

FIRST = Partition("main", 0)
FENCE = Fence(1, "w1", "n1", "e1", 4, 1_700_000_000)
SENDER = msgspec.Raw(b'{"user":"bob"}')
SETTLED = Settled(
    after=6,
    wall_ms=1_700_000_000_123,
    batches=[
        Outcomes(
            "p1", 17, 4, 1, [Published("chat:a", 0, 12, 2, SENDER), Done(), Refused(108, "no")]
        ),
        Outcomes("p2", 1, 1, 0, [Published("news\x1b[2J", 0, 0, 5)]),
    ],
    payloads=[b'"\n', b"\xff\x1b[0m"],
)


def read(record: object, judgement: Judgement | None = Judgement.COUNTS) -> ReadRecord:
    return ReadRecord(FIRST, 7, record, judgement)  # type: ignore[arg-type]


def test_a_fence_says_who_may_write() -> None:
    assert to_lines(read(FENCE, Judgement.FENCE), with_payloads=False) == [
        "main.0 @7  fence  2023-11-14T22:13:20.000Z  writer w1  nonce n1  epoch e1  partitions 4"
    ]
    cut = msgspec.structs.replace(FENCE, cut=True)
    assert to_lines(read(cut, Judgement.CUT), with_payloads=False)[0].endswith("partitions 4  cut")


def test_a_settled_has_a_line_an_outcome() -> None:
    assert to_lines(read(SETTLED), with_payloads=False) == [
        "main.0 @7  settled  2023-11-14T22:13:20.123Z  after 6  4 outcomes",
        '    p1/17/1  published  chat:a  offset 12  2 bytes  from {"user":"bob"}',
        "    p1/17/2  done",
        "    p1/17/3  refused 108 no",
        "    p2/1/0  published  news\\x1b[2J  without history  5 bytes",
    ]


def test_payloads_are_shown_if_asked_for_and_cannot_speak_to_the_terminal() -> None:
    lines = to_lines(read(SETTLED), with_payloads=True)
    assert lines[2] == '        "\\n'
    assert lines[-1] == "        \ufffd\\x1b[0m"


def test_what_does_not_count_is_marked() -> None:
    for judgement, mark in ((Judgement.IGNORED, "ignored"), (Judgement.MISSED, "does not follow")):
        assert mark in to_lines(read(SETTLED, judgement), with_payloads=False)[0]
    assert "ignored" not in to_lines(read(SETTLED, None), with_payloads=False)[0]
    error = UndecodableBody("no record: \x07")
    assert to_lines(read(error, None), with_payloads=False) == [
        "main.0 @7  cannot be read: no record: \\x07"
    ]


def test_json_has_an_object_a_record() -> None:
    row = json.loads(to_json(read(SETTLED), with_payloads=False))
    assert (row["partition"], row["position"], row["after"], row["judgement"]) == (
        *("main.0", 7, 6, "counts"),
    )
    published, done, refused, last = row["outcomes"]
    assert published == {
        "producer": "p1",
        "number": 17,
        "index": 1,
        "outcome": "published",
        "channel": "chat:a",
        "period": 0,
        "offset": 12,
        "payload_bytes": 2,
        "sender": {"user": "bob"},
    }
    assert (done["outcome"], done["index"]) == ("done", 2)
    assert (refused["code"], refused["message"]) == (108, "no")
    assert last["sender"] is None
    with_payloads = json.loads(to_json(read(SETTLED), with_payloads=True))
    assert with_payloads["outcomes"][0]["payload"] == '"\n'
    fence = json.loads(to_json(read(FENCE, None), with_payloads=True))
    assert (fence["kind"], fence["writer"], fence["judgement"]) == ("fence", "w1", None)
    assert "error" in json.loads(to_json(read(UndecodableBody("x"), None), with_payloads=False))


def test_json_has_the_keys_that_entries_were_carried_out_with() -> None:
    keyed = Settled(6, 0, [Outcomes("p", 1, 1, 0, [Published("a", 0, 1, 2, SENDER, "k")])], [b"{}"])
    row = json.loads(to_json(read(keyed), with_payloads=False))
    assert (row["outcomes"][0]["key"], row["keys"]) == ("k", [])
    besides = msgspec.structs.replace(keyed, keys=[("b", "l")])
    assert json.loads(to_json(read(besides), with_payloads=False))["keys"] == [["b", "l"]]


def test_a_start_is_first_last_a_position_or_a_while_ago() -> None:
    assert read_start("first", 0) == 0
    assert read_start("last", 0) == "last"
    assert read_start("1234", 0) == 1234
    assert read_start("1m30s", 1000) == Since(910)
    for text in ("", "-1", "²", "yesterday"):
        with pytest.raises(ValueError, match="first"):
            read_start(text, 0)


async def test_a_tail_ends_at_the_end_or_goes_on() -> None:
    async with EmbeddedBroker({"main": 1}).open() as broker:
        log = broker.log(FIRST)
        settled = encode_settled(0, 0, [Outcomes("p", 1, 1, 0, [Done()])], [])
        for body in (settled, b"no record", settled):
            await log.append(body, entries=1)

        async def take(start: int | str) -> list[ReadRecord]:
            return [each async for each in tail(log, FIRST, start, is_endless=False)]

        fence, counted, unreadable, repeated = await take(0)
        assert isinstance(fence.record, Fence)
        assert counted.judgement is Judgement.COUNTS
        assert isinstance(unreadable.record, UndecodableBody)
        assert repeated.judgement is Judgement.IGNORED
        assert [each.position for each in await take("last")] == [repeated.position]
        assert (await take(2))[-1].judgement is None

        endless = tail(log, FIRST, "last", is_endless=True)
        assert (await anext(endless)).position == repeated.position
        coming = asyncio.ensure_future(anext(endless))
        await log.append(settled, entries=1)
        assert (await coming).position > repeated.position
        await endless.aclose()
