"""Handlers look at entries, while others go on and workers die: what the log says came of it."""

import asyncio
from collections.abc import Iterator

import pytest
from msgspec import Raw
from msgspec.structs import replace

from broker.batch import Batch, Entry, EntryKind, decode_batch
from broker.embedded import EmbeddedLimits
from broker.errors import SubmitRefused
from broker.interface import DeadReason
from broker.record import Done, Ordered, Outcome, Published, Refused, Replied
from services.letters.plan import Plan
from services.letters.replay import replay
from services.orders import SendOrder, encode_order
from services.view.settled import NUMBERS_KEPT
from services.worker import held, partition, sequels
from services.worker.handling.interface import Handled, Kind, Question, Side, SideKind, Verdict
from services.worker.held import AHEAD_AT_MOST
from tests.unit.view.writing import MAIN, kept
from tests.unit.worker.parts import CONFIG, Scene, Settlement, batch, turns, until
from tests.unit.worker.scripted import PASS, Handler, ScriptedHandling

# As measured for a worker without handlers, and as much again for what follows from a record.
PHASES = range(6, 48)

SENDER = Raw(b'{"user":"42","client":"c1"}')


def sent(channel: str, payload: bytes = b"{}", kind: EntryKind = EntryKind.PUBLISH) -> Entry:
    return Entry(kind, channel, SENDER, payload)


def side(channel: str, payload: bytes = b'"side"') -> Side:
    return Side(SideKind.PUBLISH, channel, payload)


ORDER = encode_order(SendOrder(user="7", data=Raw(b'"hello"')))


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who begins again does so at once: what is tested is not how long that takes."""
    monkeypatch.setattr("random.uniform", lambda _least, _most: 0.001)


class _Answering:
    """Has handlers answer in every turn of the loop until the context is left."""

    def __init__(self, handling: ScriptedHandling) -> None:
        self._handling = handling

    async def __aenter__(self) -> ScriptedHandling:
        self._task = asyncio.ensure_future(self._answer())
        return self._handling

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _answer(self) -> None:
        while True:
            self._handling.answer()
            await asyncio.sleep(0)


def answering(**handlers: Handler) -> _Answering:
    return _Answering(ScriptedHandling({Kind[name.upper()]: h for name, h in handlers.items()}))


def always(handled: Handled) -> Handler:
    return lambda _question: handled


async def settle(scene: Scene, handler: Handled, entry: Entry, kind: str = "publish") -> Settlement:
    """What becomes of one entry."""
    await scene.submit(Batch("p", 1, [entry]))
    async with answering(**{kind: always(handler)}) as handling, scene.worker("one", handling):
        await scene.settles_all_and_drains()
    return next(each for each in scene.settlements() if each.producer == "p")


# ---- what a handler may say


@pytest.mark.parametrize(
    ("handled", "payload"), [(PASS, b'{"a":1}'), (Handled(Verdict.CHANGED, b'{"a":2}'), b'{"a":2}')]
)
async def test_an_entry_is_published_as_it_is_or_as_the_handler_has_it(
    scene: Scene, handled: Handled, payload: bytes
) -> None:
    settled = await settle(scene, handled, sent("a", b'{"a":1}'))
    assert isinstance(settled.outcome, Published)
    assert (settled.outcome.offset, bytes(settled.outcome.sender)) == (1, bytes(SENDER))
    assert settled.payload == payload


@pytest.mark.parametrize(
    ("handled", "outcome"),
    [
        (Handled(Verdict.SWALLOWED), Done()),
        (Handled(Verdict.REFUSED, code=512, text="no spam"), Refused(512, "no spam")),
    ],
)
async def test_an_entry_may_be_swallowed_or_refused(
    scene: Scene, handled: Handled, outcome: Outcome
) -> None:
    assert (await settle(scene, handled, sent("a"))).outcome == outcome
    assert not scene.node.dead_letters()


async def test_a_call_is_answered_by_what_its_handler_gives_back(scene: Scene) -> None:
    call = sent("add", b"[1,2]", EntryKind.CALL)
    settled = await settle(scene, Handled(Verdict.REPLIED, b"3"), call, "rpc")
    assert settled.outcome == Replied(b"3")


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        (EntryKind.CALL, Refused(108, "not available")),
        (EntryKind.SEND, Refused(108, "not available")),
        (EntryKind.LEFT, Done()),
    ],
)
async def test_what_no_handler_takes_is_refused_or_forgotten(
    scene: Scene, kind: EntryKind, outcome: Outcome
) -> None:
    settled = await settle(scene, PASS, sent("add", b"[1,2]", kind))
    assert settled.outcome == outcome


async def test_an_entry_of_the_teams_own_is_published_without_asking(scene: Scene) -> None:
    await scene.submit(batch(1, "a"))
    refuse = always(Handled(Verdict.REFUSED, code=512, text="no"))
    async with answering(publish=refuse) as handling, scene.worker("one", handling):
        await scene.settles_all_and_drains()
        assert not handling.asked
    scene.verify()


@pytest.mark.parametrize(
    ("kind", "handled"),
    [
        ("publish", Handled(Verdict.CHANGED, b"{")),
        ("publish", Handled(Verdict.REPLIED, b"1")),
        ("publish", Handled(Verdict.PASSED, sides=[side("no:such")])),
        ("publish", Handled(Verdict.PASSED, sides=[side("a", b"{")])),
        ("publish", Handled(Verdict.PASSED, sides=[Side(SideKind.ORDER, "7", b"{}")])),
        ("rpc", Handled(Verdict.PASSED)),
        ("rpc", Handled(Verdict.CHANGED, b"1")),
        ("send", Handled(Verdict.REPLIED, b"1")),
    ],
)
async def test_an_answer_of_no_use_is_a_failure_that_leaves_nothing_behind(
    scene: Scene, kind: str, handled: Handled
) -> None:
    entry_kind = {"publish": EntryKind.PUBLISH, "rpc": EntryKind.CALL, "send": EntryKind.SEND}
    settled = await settle(scene, handled, sent("a", kind=entry_kind[kind]), kind)
    assert settled.outcome == Refused(100, "internal server error")
    (letter,) = scene.node.dead_letters()
    assert letter.reason is DeadReason.FAILED
    assert "no use" in letter.explanation
    assert {each.producer for each in scene.settlements()} == {"p", "probe"}


# ---- order, and who waits for whom


async def test_an_entry_that_waits_for_its_handler_holds_up_its_channel_alone(
    scene: Scene,
) -> None:
    await scene.submit(Batch("p", 1, [sent("a"), sent("b"), sent("a"), sent("b")]))
    async with answering(publish=always(PASS)) as handling:
        handling.held_lines.add("a")
        async with scene.worker("one", handling):
            await until(lambda: len(scene.settlements()) == 2)
            await scene.submit(Batch("p", 2, [sent("b"), sent("a")]))
            await until(lambda: len(scene.settlements()) == 3)
            assert {(each.number, each.place) for each in scene.settlements()} == {
                (1, 1),
                (1, 3),
                (2, 0),
            }
            handling.held_lines.clear()
            await scene.settles_all_and_drains()
    scene.verify()
    assert not scene.node.waiting(MAIN)


async def test_a_copy_of_a_batch_whose_handlers_have_not_answered_is_asked_about_once(
    scene: Scene,
) -> None:
    given = Batch("p", 1, [sent("a"), sent("b")])
    async with answering(publish=always(PASS)) as handling:
        handling.held_lines.add("a")
        async with scene.worker("one", handling):
            await scene.submit(given)
            await until(lambda: len(scene.settlements()) == 1)
            await scene.submit(given)
            await turns(60)
            handling.held_lines.clear()
            await scene.settles_all_and_drains()
            assert len(handling.asked) == 2
    scene.verify()
    assert not scene.node.waiting(MAIN)


async def test_no_batch_is_settled_unseen_however_long_its_entry_waits(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "AHEAD_AT_MOST", 5)
    async with answering(publish=always(PASS)) as handling:
        handling.held_lines.add("a")
        async with scene.worker("one", handling):
            await scene.submit(Batch("p", 1, [sent("a")]))
            await scene.submit(*(Batch("p", number, [sent("b")]) for number in range(2, 12)))
            await until(lambda: len(scene.settlements()) == 5)
            await turns(60)
            assert len(scene.settlements()) == 5
            handling.held_lines.clear()
            await scene.settles_all_and_drains()
    scene.verify()


async def test_no_more_is_taken_than_so_many_entries_that_handlers_look_at(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "ASKED_AT_MOST", 3)
    async with answering(publish=always(PASS)) as handling:
        handling.held_lines.add("a")
        async with scene.worker("one", handling):
            await scene.submit(*(Batch("p", number, [sent("a")] * 2) for number in range(1, 6)))
            await turns(60)
            assert len(handling.asked) == 4
            handling.held_lines.clear()
            await scene.settles_all_and_drains()
    scene.verify()


async def test_no_batch_is_settled_unseen_however_many_numbers_are_missing_behind_it(
    scene: Scene,
) -> None:
    # A full pool refused those between.
    far = NUMBERS_KEPT + 1_000
    async with answering(publish=always(PASS)) as handling:
        handling.held_lines.add("a")
        async with scene.worker("one", handling):
            await scene.submit(Batch("p", 1, [sent("a")]))
            await until(lambda: len(handling.asked) == 1)
            await scene.submit(Batch("p", far, [sent("b")]), Batch("p", far + 1, [sent("b")]))
            await turns(60)
            assert not scene.settlements()
            handling.held_lines.clear()
            await scene.settles_all_and_drains()
    scene.verify()


def test_settled_numbers_are_kept_for_longer_than_batches_go_ahead() -> None:
    assert AHEAD_AT_MOST < NUMBERS_KEPT


# ---- workers that leave


async def test_a_worker_that_leaves_waits_for_what_it_has_asked_and_takes_nothing_more(
    scene: Scene,
) -> None:
    async with answering(publish=always(PASS)) as handling:
        handling.held_lines.add("a")
        async with scene.worker("one", handling) as worker:
            await scene.submit(Batch("p", 1, [sent("a"), sent("b")]))
            await until(lambda: len(scene.settlements()) == 1)
            worker.leave()
            await scene.submit(Batch("p", 2, [sent("b")]))
            await turns(60)
            assert len(scene.settlements()) == 1
            handling.held_lines.clear()
            await until(lambda: len(scene.settlements()) == 2)
            await until(lambda: len(scene.node.waiting(MAIN)) == 1)
        assert len(handling.asked) == 2
        async with scene.worker("two", handling):
            await scene.settles_all_and_drains()
        assert len(handling.asked) == 3
    scene.verify()


async def test_a_worker_that_leaves_does_not_wait_for_ever(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "FINISHING_SECONDS", 0.05)
    async with answering(publish=always(PASS)) as handling:
        handling.held_lines.add("a")
        async with scene.worker("one", handling) as worker:
            await scene.submit(Batch("p", 1, [sent("a"), sent("b")]))
            await until(lambda: len(scene.settlements()) == 1)
            worker.step_behind()
            # It has it given again, as the first in line.
            await until(lambda: len(handling.asked) == 3)
            handling.held_lines.clear()
            await scene.settles_all_and_drains()
    scene.verify()


# Their dead letters are kept in several goes.
FAILING = Batch("p", 1, [sent(f"a{number}") for number in range(100)])
FAILURE = Handled(Verdict.FAILED, text="ValueError: no", attempts=3)


def _letter_ids(scene: Scene) -> set[str]:
    return {letter.message_id for letter in scene.node.dead_letters()}


@pytest.mark.parametrize("phase", PHASES)
async def test_a_worker_that_leaves_does_first_what_follows(scene: Scene, phase: int) -> None:
    await scene.submit(FAILING)
    async with answering(publish=always(FAILURE)) as handling:
        async with scene.worker("one", handling) as worker:
            await turns(phase)
            worker.leave()
            await turns(100)
        assert len(_letter_ids(scene)) == len(scene.settlements())


# ---- workers that die


@pytest.mark.parametrize("phase", PHASES)
async def test_what_a_dead_worker_left_to_follow_waits_for_no_delivery(
    scene: Scene, phase: int
) -> None:
    await scene.submit(FAILING)
    async with answering(publish=always(FAILURE)) as handling:
        async with scene.worker("killed", handling):
            await turns(phase)
        async with scene.worker("next", handling):
            await until(lambda: len(_letter_ids(scene)) == 100)
    scene.verify()


@pytest.mark.parametrize("phase", PHASES)
async def test_what_a_worker_had_asked_when_it_died_is_asked_again_with_the_same_key(
    scene: Scene, phase: int
) -> None:
    given = [sent("a", b"1"), sent("b", b"2"), sent("a", b"3")]
    await scene.submit(Batch("p", 1, given), Batch("p", 2, [sent("a", b"4")]))
    keys: dict[bytes, set[str]] = {}

    def note(question: Question) -> Handled:
        keys.setdefault(question.data, set()).add(question.key)
        return PASS

    async with answering(publish=note) as handling, scene.worker("killed", handling):
        await turns(phase)
    async with answering(publish=note) as handling, scene.worker("next", handling):
        await scene.settles_all_and_drains()
    scene.verify()
    assert not scene.node.waiting(MAIN)
    assert all(len(used) == 1 for used in keys.values())
    assert len({key for used in keys.values() for key in used}) == 4


@pytest.mark.parametrize("phase", PHASES)
async def test_what_follows_from_an_entry_comes_to_be_once_whoever_dies(
    scene: Scene, phase: int
) -> None:
    numbers: Iterator[int] = iter(range(100))

    def publish_besides(question: Question) -> Handled:
        # Something else at each try: what counts is what the try did whose outcome counts.
        payload = b"[%s,%d]" % (question.data, next(numbers))
        order = Side(SideKind.ORDER, "7", ORDER)
        return Handled(Verdict.PASSED, sides=[side("c", payload), order])

    await scene.submit(Batch("p", 1, [sent("a", b"1"), sent("b", b"2")]))
    await scene.submit(Batch("p", 2, [sent("a", b"3")]))
    async with answering(publish=publish_besides) as handling, scene.worker("killed", handling):
        await turns(phase)
    async with answering(publish=publish_besides) as handling, scene.worker("next", handling):
        await scene.settles_all_and_drains()
        await until(lambda: len(_besides(scene)) == 6)
        await scene.settles_all_and_drains()
    scene.verify()
    besides = _besides(scene)
    tries = [each.payload for each in besides if isinstance(each.outcome, Published)]
    assert sorted(made[:3] for made in tries) == [b"[1,", b"[2,", b"[3,"]
    assert [o.outcome for o in besides if isinstance(o.outcome, Ordered)] == [Ordered(ORDER)] * 3
    assert not scene.node.waiting(MAIN)


def _besides(scene: Scene) -> list[Settlement]:
    return [each for each in scene.settlements() if each.producer not in ("p", "probe")]


@pytest.mark.parametrize("phase", PHASES)
async def test_an_entry_that_failed_is_refused_and_kept_whoever_dies(
    scene: Scene, phase: int
) -> None:
    failure = Handled(Verdict.FAILED, text="ValueError: no", trace="app.py:3 f", attempts=3)
    await scene.submit(Batch("p", 1, [sent("a", b"1")]))
    async with answering(publish=always(failure)) as handling, scene.worker("killed", handling):
        await turns(phase)
    async with answering(publish=always(failure)) as handling, scene.worker("next", handling):
        await scene.settles_all_and_drains()
        await until(lambda: bool(scene.node.dead_letters()))
    (settled,) = (each for each in scene.settlements() if each.producer == "p")
    assert settled.outcome == Refused(100, "internal server error")
    letters = scene.node.dead_letters()
    assert len({letter.message_id for letter in letters}) == 1
    letter = letters[0]
    assert (letter.reason, letter.channel, letter.attempts) == (DeadReason.FAILED, "a", 3)
    assert letter.explanation == "ValueError: no\napp.py:3 f"
    assert decode_batch(letter.body).entries == [replace(sent("a", b"1"), key="p/main.0/1/0")]


async def test_what_failed_is_done_again_with_the_key_of_its_first_life(scene: Scene) -> None:
    failure = Handled(Verdict.FAILED, text="ValueError: no", attempts=3)
    async with answering(publish=always(failure)) as handling, scene.worker("one", handling):
        await scene.submit(Batch("p", 1, [sent("a", b"1")]))
        await until(lambda: bool(scene.node.dead_letters()))
    async with answering(publish=always(PASS)) as mended, scene.worker("next", mended):
        async with scene.node.open("operator") as broker, broker.dead.read() as letters:
            plan = Plan(CONFIG)
            async for held_letter in letters:
                plan.add(held_letter)
            await replay(broker, letters, plan)
        await until(lambda: any(type(each.outcome) is Published for each in scene.settlements()))
    assert {asked.key for asked in (*handling.asked, *mended.asked)} == {"p/main.0/1/0"}
    assert [type(each.outcome) for each in scene.settlements()] == [Refused, Published]


async def test_what_is_published_besides_is_on_one_line_for_it_ends_a_reply(scene: Scene) -> None:
    handled = Handled(Verdict.PASSED, sides=[side("c", b'{\n  "a": 1\r\n}')])
    await settle(scene, handled, sent("a"))
    await until(lambda: len(_besides(scene)) == 1)
    assert [each.payload for each in _besides(scene)] == [b'{   "a": 1  }']


# ---- limits


@pytest.mark.parametrize("records", [1, 100])
async def test_what_has_no_room_in_memory_is_left_in_the_log_and_follows_in_order(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, records: int
) -> None:
    monkeypatch.setattr(sequels, "WAITING_BYTES_AT_MOST", 100)
    # Of one record the worker waits for those before it.
    monkeypatch.setattr(sequels, "LEFT_RECORDS_AT_MOST", records)
    besides = lambda asked: Handled(Verdict.PASSED, sides=[side("c", asked.data)])  # noqa: E731
    entries = [Batch("p", n, [sent("a", b'"%d %s"' % (n, b"x" * 200))]) for n in range(1, 16)]
    async with answering(publish=besides) as handling, scene.worker("one", handling):
        await scene.submit(*entries)
        await scene.settles_all_and_drains()
        await until(lambda: len(_besides(scene)) == 15)
    assert [each.payload for each in _besides(scene)] == [
        entry.payload for each in entries for entry in each.entries
    ]
    scene.verify()


async def test_a_partition_goes_on_whose_full_pool_what_follows_is_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sequels, "WAITING_BYTES_AT_MOST", 100)
    # What follows from a record takes more room than what was settled by it.
    monkeypatch.setattr(held, "RECORD_ENTRIES_AT_MOST", 10)
    scene = Scene(EmbeddedLimits(inbound_max_bytes=20_000))
    besides = always(Handled(Verdict.PASSED, sides=[side("c", b'"%s"' % (b"x" * 400))]))
    async with answering(publish=besides) as handling:
        with pytest.raises(SubmitRefused):
            await scene.submit(*(Batch("p", n, [sent("a", b'"%d"' % n)]) for n in range(1, 1_000)))
        settled = len(scene.submitted)
        async with scene.worker("one", handling):
            await until(lambda: len(_besides(scene)) == settled)
            await scene.settles_all_and_drains()
    scene.verify()


async def test_a_snapshot_is_not_taken_of_what_is_still_to_follow(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "_FOLLOWED_SECONDS", 0.01)
    monkeypatch.setattr("services.worker.snapshots.EVERY_RECORDS", 1)
    monkeypatch.setattr("services.worker.snapshots.AT_MOST_EVERY_SECONDS", 0.0)
    publish_besides = always(Handled(Verdict.PASSED, sides=[side("c")]))
    async with answering(publish=publish_besides) as handling:
        async with scene.worker("killed", handling):
            await scene.submit(Batch("p", 1, [sent("a")]), batch(2, "b"))
            await scene.settles_all()
        async with scene.worker("next", handling):
            await until(lambda: len(_besides(scene)) == 1)
            await scene.settles_all_and_drains()
    scene.verify()


async def test_a_record_with_much_to_follow_holds_fewer_entries(scene: Scene) -> None:
    large = Handled(Verdict.PASSED, sides=[side("c", b'"%s"' % (b"x" * 60_000))] * 5)
    await scene.submit(Batch("p", 1, [sent(f"a{number}") for number in range(8)]))
    async with answering(publish=always(large)) as handling, scene.worker("one", handling):
        await scene.settles_all()
        await until(lambda: len(_besides(scene)) == 40)
        await scene.settles_all_and_drains()
    scene.verify()


@pytest.mark.parametrize(
    ("handled", "entries", "kind"),
    [
        (Handled(Verdict.REPLIED, b'"%s"' % (b"x" * 30_000)), 100, EntryKind.CALL),
        (Handled(Verdict.PASSED, sides=[side("c", b"1")] * 100), 350, EntryKind.PUBLISH),
        (Handled(Verdict.FAILED, text="x" * 1_900), 800, EntryKind.PUBLISH),
        (Handled(Verdict.REFUSED, code=512, text="x" * 1_900), 800, EntryKind.PUBLISH),
    ],
)
async def test_a_record_is_bounded_whatever_handlers_say(
    scene: Scene, handled: Handled, entries: int, kind: EntryKind
) -> None:
    await scene.submit(Batch("p", 1, [sent(f"a{number}", b"1", kind) for number in range(entries)]))
    given = always(handled)
    async with answering(publish=given, rpc=given) as handling, scene.worker("one", handling):
        await scene.settles_all()
    assert max(len(body) for _, body in kept(scene.node)) < 2 * held.RECORD_BYTES_AT_MOST
    scene.verify()
