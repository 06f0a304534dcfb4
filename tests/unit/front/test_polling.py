"""Long polling: what requests get, whatever gets lost, on their session's front and another."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from services.front.errands import Answer
from services.front.parked import ANSWER_BYTES_AT_MOST, UNNUMBERED, Poll
from services.front.parking import Parking
from services.view.history import Publication
from tests.unit.front.two_fronts import ROOM, TwoFronts, seen_config, turns, two_fronts

CONFIG = seen_config(poll_wait=25, poll_return_delay=15, queue_max_size=300_000)
HERE, THERE = 0, 1

anywhere = pytest.mark.parametrize("front", [HERE, THERE], ids=["here", "there"])


class Polling:
    """A client that polls, its session on the first front; requests go to either."""

    def __init__(self, fronts: TwoFronts, parking: list[Parking]) -> None:
        self.fronts = fronts
        self.parking = parking
        self.node, self.session = parking[HERE].begin("192.0.2.1", None)
        self.ack = 0
        self.sent = 0

    def request(
        self, *commands: object, front: int = HERE, ack: int | None = None, sent: int | None = None
    ) -> "asyncio.Task[Answer]":
        """Send a request."""
        lines = "\n".join(map(json.dumps, commands)).encode()
        poll = Poll(
            self.ack if ack is None else ack, self.sent if sent is None else sent, lines, False
        )
        return asyncio.create_task(self.parking[front].poll(self.node, self.session, poll))

    async def ask(self, *commands: object, **how: Any) -> tuple[int, Any]:
        """Send a request that is answered at once; give the status and the answer."""
        asked = self.request(*commands, **how)
        await turns()
        assert asked.done(), "it waits"
        return answer_of(asked)

    async def take(self, *commands: object, front: int = HERE) -> list[Any]:
        """Send a request as one should, and give the replies and pushes that came."""
        status, body = await self.ask(*commands, front=front)
        assert status == 200, body
        return self.have(body)

    def have(self, body: Any) -> list[Any]:
        """Note what an answer says, and give what is in it."""
        self.ack, self.sent = body["seq"], body["taken"]
        return lines_of(body)

    async def connect(self) -> "Polling":
        await self.take({"id": 1, "connect": {}})
        return self

    async def follow(self, channel: str = ROOM) -> "Polling":
        await self.connect()
        await self.take({"id": 2, "subscribe": {"channel": channel}})
        return self


def answer_of(asked: "asyncio.Task[Answer]") -> tuple[int, Any]:
    status, body = asked.result()
    return int(status), json.loads(body) if body else None


def lines_of(body: Any) -> list[Any]:
    return [json.loads(line) for line in body["data"].splitlines()]


def texts(told: list[Any]) -> list[Any]:
    return [each["push"]["pub"]["data"] for each in told]


@pytest_asyncio.fixture
async def fronts() -> AsyncIterator[TwoFronts]:
    async with two_fronts(CONFIG) as fronts:
        yield fronts


@pytest_asyncio.fixture
async def client(fronts: TwoFronts) -> Polling:
    return Polling(fronts, [Parking(parts, parts.errands) for parts in fronts.parts])


def publish(client: Polling, text: str, channel: str = ROOM) -> None:
    """Something that subscribers of the first front are told."""
    publication = Publication(0, json.dumps(text).encode(), b"null", 0)
    client.fronts.parts[HERE].view.fanout.publish(channel, [publication], 10**9)


@anywhere
async def test_a_client_connects_and_is_told_what_to_send_next(front: int, client: Polling) -> None:
    (reply,) = await client.take({"id": 1, "connect": {}}, front=front)
    assert reply["connect"]["session"] == client.session
    assert reply["connect"]["node"] == client.node
    assert not {"ping", "pong"} & reply["connect"].keys()


@anywhere
async def test_a_request_waits_until_there_is_something(front: int, client: Polling) -> None:
    await client.follow()
    asked = client.request(front=front)
    await client.fronts.pass_time(20)
    assert not asked.done()
    publish(client, "hi")
    await turns()
    assert texts(client.have(answer_of(asked)[1])) == ["hi"]


@anywhere
async def test_a_request_is_answered_empty_in_the_end(front: int, client: Polling) -> None:
    await client.connect()
    asked = client.request(front=front)
    await client.fronts.pass_time(24)
    assert not asked.done()
    await client.fronts.pass_time(1.5)
    assert answer_of(asked)[1]["data"] == ""
    assert answer_of(asked)[1]["seq"] == client.ack


@anywhere
async def test_what_comes_between_two_requests_waits(front: int, client: Polling) -> None:
    await client.follow()
    for text in ("one", "two"):
        publish(client, text)
        await turns()
    assert texts(await client.take(front=front)) == ["one", "two"]


@anywhere
async def test_a_lost_answer_is_given_again(front: int, client: Polling) -> None:
    await client.follow()
    publish(client, "one")
    lost = await client.ask(front=front)
    publish(client, "two")
    await turns()
    again = await client.take(front=front)
    assert texts(again) == texts(lines_of(lost[1])) == ["one"]
    assert texts(await client.take(front=front)) == ["two"]


@anywhere
async def test_a_repeated_request_does_nothing_twice(front: int, client: Polling) -> None:
    await client.connect()
    subscribe = {"id": 2, "subscribe": {"channel": ROOM}}
    first = await client.ask(subscribe, front=front)
    again = await client.ask(subscribe, front=front)
    assert lines_of(first[1]) == lines_of(again[1])
    assert "error" not in client.have(again[1])[0]


async def test_a_request_may_bring_some_commands_again_and_others_for_the_first_time(
    client: Polling,
) -> None:
    await client.connect()
    one, two = ({"id": n, "unsubscribe": {"channel": f"c{n}"}} for n in (2, 3))
    await client.ask(one)
    told = await client.take(one, two)
    assert [reply["id"] for reply in told] == [2]
    assert [reply["id"] for reply in await client.take()] == [3]


async def test_commands_that_are_not_counted_are_all_carried_out(client: Polling) -> None:
    await client.connect()
    command = {"id": 2, "unsubscribe": {"channel": "a"}}
    for _ in range(2):
        status, body = await client.ask(command, sent=UNNUMBERED)
        assert status == 200
        assert [reply["id"] for reply in client.have(body)] == [2]


@anywhere
async def test_a_request_from_nowhere_on_is_a_conflict(front: int, client: Polling) -> None:
    await client.follow()
    for ack in (0, client.ack - 1, client.ack + 1):
        assert (await client.ask(front=front, ack=ack))[0] == 409
    assert (await client.ask({"id": 9, "ping": {}}, front=front, sent=99))[0] == 409
    publish(client, "still here")
    assert texts(await client.take(front=front)) == ["still here"]


@anywhere
async def test_a_request_that_is_out_of_order_does_not_end_the_one_that_waits(
    front: int, client: Polling
) -> None:
    await client.follow()
    waiting = client.request()
    assert (await client.ask(front=front, ack=0))[0] == 409
    assert not waiting.done()
    publish(client, "hi")
    await turns()
    assert texts(lines_of(answer_of(waiting)[1])) == ["hi"]


@anywhere
async def test_a_second_request_ends_the_wait_of_the_first(front: int, client: Polling) -> None:
    await client.follow()
    first = client.request(front=1 - front)
    await turns()
    second = client.request(front=front)
    await turns()
    assert answer_of(first)[0] == 409
    publish(client, "hi")
    await turns()
    assert texts(lines_of(answer_of(second)[1])) == ["hi"]


@anywhere
async def test_a_client_that_does_not_come_back_is_gone(front: int, client: Polling) -> None:
    other = await client.fronts.subscriber(THERE, join_leave=True)
    await client.follow()
    await turns()
    other.news()
    await client.fronts.pass_time(14)
    await client.ask(ack=client.ack) if False else None
    assert other.news() == []
    await client.fronts.pass_time(2)
    assert "leave" in other.news()[0]["push"]
    assert (await client.ask(front=front))[0] == 404


@anywhere
async def test_a_client_whose_request_is_aborted_has_to_come_back(
    front: int, client: Polling
) -> None:
    await client.follow()
    waiting = client.request(front=front)
    await turns()
    waiting.cancel()
    await turns()
    await client.fronts.pass_time(14)
    back = client.request(front=front)
    await client.fronts.pass_time(14)
    assert not back.done()
    back.cancel()
    await turns()
    await client.fronts.pass_time(16)
    assert (await client.ask(front=front))[0] == 404


async def test_what_was_on_its_way_to_an_aborted_request_goes_to_the_next(client: Polling) -> None:
    await client.follow()
    waiting = client.request(front=THERE)
    await turns()
    publish(client, "hi")
    waiting.cancel()
    await turns()
    assert texts(await client.take(front=THERE)) == ["hi"]


async def test_a_client_may_say_that_it_leaves(client: Polling) -> None:
    other = await client.fronts.subscriber(THERE, join_leave=True)
    await client.follow()
    await turns()
    other.news()
    leaving = Poll(client.ack, client.sent, b"", is_last=True)
    assert (await client.parking[HERE].poll(client.node, client.session, leaving)).status == 204
    await turns()
    assert "leave" in other.news()[0]["push"]
    assert len(client.parking[HERE]) == len(client.fronts.parts[HERE].uplinks) == 0


@anywhere
async def test_a_client_that_fetches_nothing_is_slow(front: int, client: Polling) -> None:
    await client.follow()
    for _ in range(80):
        publish(client, "x" * 5000)
    await turns()
    told: list[Any] = []
    while not (told and "disconnect" in told[-1].get("push", {})):
        told = await client.take(front=front)
    assert told[-1]["push"]["disconnect"]["code"] == 3008
    assert (await client.ask(front=front))[0] == 404
    assert len(client.parking[HERE]) == 0


async def test_an_answer_is_whole_lines_of_a_bounded_size(client: Polling) -> None:
    await client.follow()
    sizes = [10_000] * 15 + [100_000] + [10] * 3
    for size in sizes:
        publish(client, "x" * size)
        await turns()
    got: list[int] = []
    while len(got) < len(sizes):
        _, body = await client.ask()
        assert len(body["data"]) <= ANSWER_BYTES_AT_MOST or len(lines_of(body)) == 1
        got += [len(text) for text in texts(client.have(body))]
    assert got == sizes


async def test_a_bad_command_ends_the_session_and_the_client_is_told(client: Polling) -> None:
    await client.connect()
    (told,) = await client.take("no command")
    assert told["push"]["disconnect"]["code"] == 3501
    assert (await client.ask())[0] == 404


async def test_a_client_that_never_connects_is_let_go(client: Polling) -> None:
    waiting = client.request()
    await client.fronts.pass_time(11)
    (told,) = client.have(answer_of(waiting)[1])
    assert told["push"]["disconnect"]["code"] == 3502


async def test_too_many_commands_at_once_are_refused_and_not_counted(client: Polling) -> None:
    await client.connect()
    flood = [{"id": n, "unsubscribe": {"channel": "c" * 200}} for n in range(2, 1500)]
    status, _ = await client.ask(*flood)
    assert status == 503
    assert len(await client.take(*flood[:3])) == 3


async def test_a_session_is_of_one_front(client: Polling) -> None:
    parking = client.parking[THERE]
    poll = Poll(0, 0, b"", False)
    assert (
        await parking.poll(client.fronts.parts[THERE].neighbours.id, client.session, poll)
    ).status == 404
    assert (await parking.poll("nowhere", client.session, poll)).status == 404


async def test_commands_by_emulation_are_answered_by_the_poll(client: Polling) -> None:
    await client.connect()
    uplinks = client.fronts.parts[THERE].uplinks
    frame = b'{"id":2,"unsubscribe":{"channel":"a"}}'
    assert await uplinks.deliver(client.node, client.session, frame) == 204
    assert [reply["id"] for reply in await client.take()] == [2]
