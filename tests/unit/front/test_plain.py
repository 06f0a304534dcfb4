"""Plain clients: what they are told, what becomes of their texts, how they share a channel."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from broker.record import Refused
from services.auth import make_token
from services.config import ConfigError, load_config
from services.front import fanout as fanout_module
from services.front.outbox import Outbox
from services.front.parts import Parts
from services.front.plain.answers import PlainAnswers
from services.front.plain.conversation import PlainConversation
from services.front.plain.encoding import PlainText
from services.front.publishing import Awaited
from services.front.session import Session
from services.settings import Config, PlainConfig, TokenConfig
from services.template import Template
from services.view.history import Publication
from services.wire.errors import Unsubscribed
from tests.unit.front.stage import (
    OPEN_CHANNELS,
    SECRET,
    FakeClock,
    Line,
    Stage,
    Wire,
    open_config,
    staging,
    text_lines,
)

NOW = 1_000_000.0
ENGLISH = {
    "welcome": "hello {user}, this is {channel}",
    "receipt": "got {text}",
    "relay": "{name}: {text}",
}


class Plain:
    """A plain client's session, and what the client sees of it."""

    def __init__(self, room: "Room", channel: str, token: str) -> None:
        parts = room.parts
        self.wire = Wire()
        outbox = Outbox(self.wire, parts.flusher, parts.config.client.queue_max_size)
        self.line = Line(outbox, pings_by_frame=True)
        self.session = Session(parts, self.line, outbox, room.encoding)
        self.conversation = PlainConversation(room.encoding, room.answers, channel, token)
        self._parts = parts
        self._seen = 0

    async def send(self, *texts: str) -> None:
        for text in texts:
            await self.conversation.receive(self.session, text.encode())

    def news(self) -> list[str]:
        """What came since the last look."""
        self._parts.flusher.flush()
        lines = [line.decode() for line in text_lines(self.wire.writes)]
        seen, self._seen = self._seen, len(lines)
        return lines[seen:]

    @property
    def name(self) -> str:
        return self.session.user or self.session.id[:8]

    @property
    def closed(self) -> int | None:
        return self.line.closed[0] if self.line.closed else None


class Room:
    """What a process's plain clients share."""

    def __init__(self, stage: Stage) -> None:
        config = stage.parts.config.plain
        self.stage = stage
        self.encoding = PlainText(Template(config.relay))
        self.answers = PlainAnswers(config)

    @property
    def parts(self) -> Parts:
        return self.stage.parts

    async def enter(self, channel: str = "room", token: str = "") -> Plain:
        client = Plain(self, channel, token)
        await client.conversation.open(client.session)
        return client

    async def heard(self, client: Plain, count: int) -> list[str]:
        """Wait until a client was told that much more."""
        news: list[str] = []

        def is_so() -> bool:
            news.extend(client.news())
            return len(news) >= count

        await self.stage.until(is_so)
        return news


def config(**plain: str) -> Config:
    return open_config(plain={**ENGLISH, **plain}, client={"token": {"hmac_secret_key": SECRET}})


@pytest_asyncio.fixture
async def room() -> AsyncIterator[Room]:
    async with staging(config(), wall_clock=lambda: NOW) as stage:
        yield Room(stage)


async def test_who_comes_in_is_welcomed(room: Room) -> None:
    token = make_token(TokenConfig(hmac_secret_key=SECRET), "ada", expire_at=NOW + 60)
    client = await room.enter("room", token)
    assert client.news() == ["hello ada, this is room"]


async def test_the_sender_gets_a_receipt_and_the_others_get_the_text(room: Room) -> None:
    sender, other = await room.enter(), await room.enter()
    sender.news(), other.news()
    await sender.send("你好,服务器!")
    assert await room.heard(other, 1) == [f"{sender.name}: 你好,服务器!"]
    assert await room.heard(sender, 1) == ["got 你好,服务器!"]


async def test_who_is_in_another_channel_hears_nothing(room: Room) -> None:
    sender, elsewhere = await room.enter("room"), await room.enter("elsewhere")
    sender.news(), elsewhere.news()
    await sender.send("hi")
    await room.heard(sender, 1)
    assert elsewhere.news() == []


async def test_receipts_come_in_the_order_of_the_texts(room: Room) -> None:
    client = await room.enter()
    client.news()
    await client.send(*(f"text {number}" for number in range(50)))
    assert await room.heard(client, 50) == [f"got text {number}" for number in range(50)]


async def test_a_text_is_a_json_string_to_everybody_else(room: Room) -> None:
    plain, sdk = await room.enter(), await room.stage.client()
    await sdk.ask({"id": 2, "subscribe": {"channel": "room"}})
    await plain.send('say "hi"\n\ud7ff')
    (push,) = await sdk.next(1)
    publication = push["push"]["pub"]
    assert publication["data"] == 'say "hi"\n\ud7ff'
    assert publication["info"] == {"user": "", "client": plain.session.id}


async def test_what_is_no_string_arrives_as_json(room: Room) -> None:
    plain, sdk = await room.enter(), await room.stage.client()
    plain.news()
    await sdk.send({"id": 2, "publish": {"channel": "room", "data": {"a": [1, "ü"]}}})
    assert await room.heard(plain, 1) == [f'{sdk.session.id[:8]}: {{"a": [1, "\\u00fc"]}}']


async def test_in_a_shared_channel_everybody_hears_each_other_once(room: Room) -> None:
    plain, sdk = await room.enter(), await room.stage.client()
    plain.news()
    await sdk.ask({"id": 2, "subscribe": {"channel": "room"}})
    await sdk.send({"id": 3, "publish": {"channel": "room", "data": "from an sdk"}})
    await plain.send("from a plain client")
    pushes = [each["push"]["pub"]["data"] for each in await sdk.next(3) if "push" in each]
    assert pushes == ["from an sdk", "from a plain client"]
    assert sorted(await room.heard(plain, 2)) == sorted(
        [f"{sdk.session.id[:8]}: from an sdk", "got from a plain client"]
    )


async def test_empty_templates_say_nothing() -> None:
    async with staging(config(welcome="", receipt="", relay="")) as stage:
        room = Room(stage)
        sender, other = await room.enter(), await room.enter()
        await sender.send("hi")
        await stage.until(lambda: not sender.session.unanswered)
        assert sender.news() == other.news() == []


# ---- fan-out


def publication(offset: int, sender: bytes, text: str) -> Publication:
    return Publication(offset, f'"{text}"'.encode(), sender, 0)


@pytest.mark.parametrize("slice_sessions", [1, 1000])
async def test_who_published_part_of_a_record_hears_the_rest(
    room: Room, monkeypatch: pytest.MonkeyPatch, slice_sessions: int
) -> None:
    monkeypatch.setattr(fanout_module, "SLICE_SESSIONS", slice_sessions)
    clients = [await room.enter() for _ in range(3)]
    for client in clients:
        client.news()
    first, second, _ = clients
    record = [
        publication(1, first.session.info(b""), "a"),
        publication(2, second.session.info(b'{"seat":2}'), "b"),
        publication(3, b"null", "c"),
    ]
    room.stage.fanout.publish("room", record, room.parts.view.sequence + 1)
    await room.stage.until(lambda: room.stage.fanout.waiting_bytes == 0)
    a, b, c = f"{first.name}: a", f"{second.name}: b", "server: c"
    assert [client.news() for client in clients] == [[b, c], [a, c], [a, b, c]]


async def test_everybody_of_a_kind_gets_the_same_bytes(room: Room) -> None:
    plain = [await room.enter() for _ in range(3)]
    sdk = [await room.stage.client() for _ in range(3)]
    for client in sdk:
        await client.ask({"id": 2, "subscribe": {"channel": "room"}})
    room.parts.flusher.flush()
    record = [publication(1, b"null", "x")]
    room.stage.fanout.publish("room", record, room.parts.view.sequence + 1)
    room.parts.flusher.flush()
    for kind in (plain, sdk):
        assert len({id(client.wire.writes[-1]) for client in kind}) == 1


async def test_an_author_that_cannot_be_read_ends_nothing(room: Room) -> None:
    client = await room.enter()
    client.news()
    record = [
        Publication(1, b'"\xff"', b"{", 0),
        Publication(2, b'"fine"', b'{"user":"u","client":"c"}', 0),
    ]
    room.stage.fanout.publish("room", record, room.parts.view.sequence + 1)
    assert client.news() == ['server: "\ufffd"', "u: fine"]


async def test_large_texts_share_no_frame(room: Room) -> None:
    client = await room.enter()
    client.news()
    text = "x" * 40_000
    record = [publication(n, b"null", text) for n in (1, 2, 3)]
    room.stage.fanout.publish("room", record, room.parts.view.sequence + 1)
    assert client.news() == [f"server: {text}"] * 3


# ---- what is refused


async def test_without_a_token_only_those_come_in_who_may(room: Room) -> None:
    closed = open_config(plain=ENGLISH, client={"allow_anonymous_connect_without_token": False})
    async with staging(closed) as stage:
        client = await Room(stage).enter()
        assert client.closed == 3501
        assert client.news() == []


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("nonsense", 3500),
        (make_token(TokenConfig(hmac_secret_key=SECRET), "ada", expire_at=NOW - 60), 3005),
    ],
)
async def test_a_bad_token_is_turned_away(room: Room, token: str, code: int) -> None:
    assert (await room.enter("room", token)).closed == code


@pytest.mark.parametrize(
    ("channel", "told", "code"),
    [
        ("closed:room", "error 103: permission denied", 3507),
        ("unknown:room", "error 102: unknown channel", 3501),
        ("ü", "error 107: bad request: a channel name is", 3501),
    ],
)
async def test_a_channel_that_may_not_be_followed_is_told(
    room: Room, channel: str, told: str, code: int
) -> None:
    client = await room.enter(channel)
    (line,) = client.news()
    assert line.startswith(told)
    assert client.closed == code
    assert len(room.parts.hub) == 0


async def test_a_channel_whose_data_is_binary_is_told_to_be_none_for_it(room: Room) -> None:
    client = await room.enter("bytes:a")
    [told] = client.news()
    assert told.startswith("error 108: not available")
    assert client.closed == 3508


async def test_who_may_only_listen_is_told_and_stays() -> None:
    listening = {**OPEN_CHANNELS, "allow_publish_for_client": False}
    async with staging(open_config(plain=ENGLISH, without_namespace=listening)) as stage:
        room = Room(stage)
        client = await room.enter()
        client.news()
        await client.send("hi")
        assert client.news() == ["error 103: permission denied"]
        assert client.closed is None


async def test_too_many_texts_at_once_are_refused() -> None:
    limited = open_config(plain=ENGLISH, client={"unanswered_publish_limit": 3})
    async with staging(limited) as stage:
        room = Room(stage)
        client = await room.enter()
        client.news()
        await client.send("a", "b", "c", "d")
        news = await room.heard(client, 4)
        assert news[0].startswith("error 111: too many requests")
        assert news[1:] == ["got a", "got b", "got c"]


async def test_binary_is_refused_and_the_session_lives(room: Room) -> None:
    client = await room.enter()
    client.news()
    await client.conversation.receive_binary(client.session, b"\x00")
    assert client.news() == ["error 107: bad request: only text is taken here"]
    assert client.closed is None


async def test_a_late_refusal_is_told(room: Room) -> None:
    client = await room.enter("queued:room")
    client.news()
    waiter = Awaited(
        client.session, "queued:room", "hi", room.answers, is_answered_when_queued=True
    )
    client.session.unanswered = 1
    waiter.confirmed()
    waiter.settled(Refused(4000, "not today"))
    assert client.news() == ["got hi", "error 4000: not today"]


async def test_the_end_of_its_subscription_is_told(room: Room) -> None:
    client = await room.enter()
    client.news()
    subscription = client.session.subscription("room")
    assert subscription is not None
    client.session.end_subscription(subscription, Unsubscribed.BY_SERVER)
    assert client.news() == ["unsubscribed (2000): server unsubscribe"]


# ---- time and limits


async def test_pings_are_websocket_pings_and_a_missing_pong_ends_the_session() -> None:
    clock = FakeClock()
    async with staging(config(), clock=clock) as stage:
        client = await Room(stage).enter()
        client.news()
        clock.now += 26
        stage.parts.wheel.turn()
        stage.parts.flusher.flush()
        assert client.wire.writes[-1] == b"\x89\x00"
        clock.now += 11
        stage.parts.wheel.turn()
        assert client.closed == 3012


async def test_who_does_not_read_is_let_go(room: Room) -> None:
    sender, slow = await room.enter(), await room.enter()
    sender.news()
    slow.wire.unsent_bytes = room.parts.config.client.queue_max_size
    await sender.send("hi")
    assert await room.heard(sender, 1) == ["got hi"]
    assert slow.closed == 3008


async def test_who_leaves_is_nowhere(room: Room) -> None:
    client = await room.enter()
    client.session.leave()
    assert len(room.parts.hub) == len(room.parts.sessions) == room.parts.hub.subscriptions == 0


# ---- templates


def test_what_is_put_into_a_template_is_not_looked_at() -> None:
    values = dict.fromkeys(("name", "user", "client", "channel"), "?") | {"text": "{user}{"}
    assert Template("{text} {} {{text}}").render(values) == b"{user}{ {} {{user}{}"


def test_a_template_with_an_unknown_placeholder_is_a_problem_of_the_settings() -> None:
    with pytest.raises(ConfigError, match=r"plain\.relay: no such placeholder: \{txt\}"):
        load_config(environ={}, defaults={"plain": {"relay": "{name}: {txt}"}})


def test_plain_clients_are_served_only_if_the_settings_say_so() -> None:
    assert not PlainConfig().enabled
