"""Publishing: what a client is answered, and when."""

import pytest

from broker.record import Done, Refused
from services.front.publishing import REPLIES, Awaited
from tests.unit.front.stage import NODE, Stage, open_config, staging


def publish(command_id: int, channel: str = "a", **request: object) -> dict[str, object]:
    return {"id": command_id, "publish": {"channel": channel, **request}}


async def test_a_publication_reaches_its_subscribers_and_its_sender_hears_of_it(
    stage: Stage,
) -> None:
    sender, reader = await stage.client(), await stage.client()
    await reader.ask({"id": 2, "subscribe": {"channel": "a"}})
    await sender.send(publish(7, data={"x": [1, "ü"]}))
    assert await sender.next(1) == [{"id": 7, "publish": {}}]
    (push,) = await reader.next(1)
    assert push["push"]["channel"] == "a"
    assert push["push"]["pub"]["data"] == {"x": [1, "ü"]}
    assert push["push"]["pub"]["offset"] == 1
    assert push["push"]["pub"]["info"] == {"user": "", "client": sender.session.id}


async def test_whoever_has_its_reply_finds_its_publication_in_the_history(stage: Stage) -> None:
    client = await stage.client()
    await client.send(publish(2, data=1))
    await client.next(1)
    (reply,) = await client.ask({"id": 3, "history": {"channel": "a", "limit": 1}})
    assert [p["data"] for p in reply["history"]["publications"]] == [1]


async def test_a_publish_does_not_hold_up_the_next_command(stage: Stage) -> None:
    client = await stage.client()
    (reply,) = await client.ask(
        publish(2, data=1), {"id": 3, "history": {"channel": "b", "limit": 0}}
    )
    assert reply["id"] == 3
    assert (await client.next(1))[0]["id"] == 2


async def test_publications_of_one_session_arrive_in_order(stage: Stage) -> None:
    client = await stage.client()
    await client.ask({"id": 2, "subscribe": {"channel": "a"}})
    await client.send(*(publish(n, data=n) for n in range(3, 53)))
    pushes = [news["push"]["pub"] for news in await client.next(100) if "push" in news]
    assert [p["data"] for p in pushes] == list(range(3, 53))
    assert [p["offset"] for p in pushes] == list(range(1, 51))


async def test_line_breaks_outside_strings_do_not_break_the_frame(stage: Stage) -> None:
    client = await stage.client()
    await client.ask({"id": 2, "subscribe": {"channel": "a"}})
    await client.send(b'{"id":3,"publish":{"channel":"a","data":{\n"a":\r\n"b\\n"}}}')
    pushes = [news["push"]["pub"]["data"] for news in await client.next(2) if "push" in news]
    assert pushes == [{"a": "b\n"}]


@pytest.mark.parametrize(
    ("channel", "request_", "code"),
    [
        ("a", {}, 107),
        ("", {"data": 1}, 107),
        ("ü", {"data": 1}, 107),
        ("x" * 256, {"data": 1}, 107),
        ("nowhere:a", {"data": 1}, 102),
        ("closed:a", {"data": 1}, 103),
        ("a", {"data": 1, "type": 1}, 108),
    ],
)
async def test_what_may_not_be_published_is_refused(
    stage: Stage, channel: str, request_: dict[str, object], code: int
) -> None:
    client = await stage.client()
    (reply,) = await client.ask(publish(2, channel, **request_))
    assert (reply["id"], reply["error"]["code"]) == (2, code)


async def test_more_publishes_than_may_be_unanswered_are_refused() -> None:
    config = open_config(client={"unanswered_publish_limit": 3})
    async with staging(config) as stage:
        client = await stage.client()
        refused = await client.ask(*(publish(n, data=n) for n in range(2, 7)))
        assert [(r["id"], r["error"]["code"], r["error"]["temporary"]) for r in refused] == [
            (5, 111, True),
            (6, 111, True),
        ]
        assert [r["id"] for r in await client.next(3)] == [2, 3, 4]
        await client.send(publish(7, data=7))
        assert await client.next(1) == [{"id": 7, "publish": {}}]


async def test_publishes_are_refused_at_once_while_the_broker_is_away(stage: Stage) -> None:
    client = await stage.client()
    stage.broker.disconnect(NODE)
    (reply,) = await client.ask(publish(2, data=1))
    assert (reply["error"]["code"], reply["error"]["temporary"]) == (111, True)
    assert client.session.unanswered == 0


async def test_subscribes_and_history_go_on_while_the_broker_holds_publishers_back(
    stage: Stage,
) -> None:
    client = await stage.client()
    stage.broker.hold_publishes()
    replies = await client.ask(
        publish(2, data=1),
        {"id": 3, "subscribe": {"channel": "a"}},
        {"id": 4, "history": {"channel": "a"}},
    )
    assert [reply["id"] for reply in replies] == [3, 4]
    stage.broker.release_publishes()
    assert [news.get("id", "push") for news in await client.next(2)] == ["push", 2]


async def test_a_queued_namespace_answers_before_a_worker_has_looked() -> None:
    async with staging(has_worker=False) as stage:
        client = await stage.client()
        await client.send(publish(2, "queued:a", data=1))
        assert await client.next(1) == [{"id": 2, "publish": {}}]
        await client.send(publish(3, "a", data=1))
        await stage.until(lambda: stage.broker.waiting(stage.parts.view.partition_of("a")) != [])
        assert client.news() == []


async def test_a_late_refusal_is_told_to_the_sender_as_a_message(stage: Stage) -> None:
    client = await stage.client()
    waiter = Awaited(client.session, "queued:a", 2, REPLIES, is_answered_when_queued=True)
    client.session.unanswered = 1
    waiter.confirmed()
    waiter.settled(Refused(4000, "not today"))
    reply, message = client.news()
    assert reply == {"id": 2, "publish": {}}
    assert message["push"]["message"]["data"] == {
        "refused": {"channel": "queued:a", "error": {"code": 4000, "message": "not today"}}
    }
    assert client.session.unanswered == 0


async def test_each_way_a_publish_can_end_is_answered_once(stage: Stage) -> None:
    client = await stage.client()
    client.session.unanswered = 4
    waiters = [
        Awaited(client.session, "a", n, REPLIES, is_answered_when_queued=False) for n in range(2, 6)
    ]
    for waiter in waiters:
        waiter.confirmed()
    assert client.news() == []
    waiters[0].settled(Done())
    waiters[1].settled(Refused(1000, "never"))
    waiters[2].refused()
    waiters[3].given_up()
    assert client.news() == [
        {"id": 2, "publish": {}},
        {"id": 3, "error": {"code": 1000, "message": "never"}},
        {"id": 4, "error": {"code": 111, "message": "too many requests", "temporary": True}},
        {"id": 5, "error": {"code": 400, "message": "outcome unknown"}},
    ]
    assert client.session.unanswered == 0


async def test_an_outcome_for_a_client_that_has_left_goes_nowhere(stage: Stage) -> None:
    client = await stage.client()
    await client.send(publish(2, data=1))
    client.session.leave()
    await stage.until(lambda: client.session.unanswered == 0)
    assert client.news() == []


async def test_a_front_that_hears_nothing_of_its_own_publishes_opens_the_log_anew(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.front.view._DEAF_SECONDS", 0.05)
    client = await stage.client()
    stage.broker.deafen(NODE)
    await client.send({"id": 2, "publish": {"channel": "a", "data": 1}})

    def sweeps_and_is_answered() -> bool:
        stage.parts.view.sweep()
        return stage.parts.producer.unsettled_entries == 0

    await stage.until(lambda: stage.parts.producer.unsettled_entries == 1)
    await stage.until(sweeps_and_is_answered)
    assert await client.next(1) == [{"id": 2, "publish": {}}]
