"""A team's handlers under test: they run in the test's own process."""

import os
import pdb
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest

from forebay import (
    SWALLOW,
    App,
    Call,
    Connect,
    Left,
    Message,
    Publication,
    Refuse,
    State,
    Subscribe,
    Welcome,
)
from forebay.testing import (
    Disconnected,
    HandlerFailed,
    Kit,
    Refused,
    SettingsProblem,
    Unanswered,
)
from tests.kit.settings import CHAT, SETTINGS


class Line(msgspec.Struct):
    text: str


def chat_app() -> App:
    app = App()

    @app.publish("chat:*")
    async def moderate(publication: Publication[Line]) -> Line | None:
        if publication.data.text == "spam":
            raise Refuse("no spam", code=500)
        if publication.data.text == "loud":
            return Line("LOUD")
        if publication.data.text == "copy":
            publication.publish("chat:copies", {"by": publication.user})
        return None

    return app


def test_a_handler_refuses_changes_and_does_more(kit: Kit) -> None:
    with kit.run(chat_app(), config=SETTINGS) as server:
        client, other = server.client("42"), server.client("43")
        for each in (client, other):
            each.subscribe("chat:1")
            each.subscribe("chat:copies")
        client.publish("chat:1", {"text": "spam"})
        assert client.refused == Refused(500, "no spam")
        client.publish("chat:1", {"text": "loud"})
        client.publish("chat:1", {"text": "copy"})
        assert other.received("chat:1") == [{"text": "LOUD"}, {"text": "copy"}]
        assert other.received("chat:copies") == [{"by": "42"}]


def test_data_that_does_not_fit_a_handlers_type_is_refused(kit: Kit) -> None:
    with kit.run(chat_app(), config=SETTINGS) as server:
        client = server.client("42")
        client.subscribe("chat:1")
        client.publish("chat:1", {"text": 7})
        assert client.refused is not None
        assert client.refused.code == 401
        assert client.received("chat:1") == []
        assert server.failures == []


def test_a_failing_handler_is_raised_by_what_the_test_did(kit: Kit) -> None:
    app = App()
    attempts: list[int] = []

    @app.publish("chat:*")
    def break_down(publication: Publication) -> None:
        attempts.append(publication.attempt)
        raise ZeroDivisionError("oh")

    with kit.run(app, config=SETTINGS) as server:
        client = server.client("42")
        client.subscribe("chat:1")
        with pytest.raises(HandlerFailed, match="in 3 tries: ZeroDivisionError: oh") as failed:
            client.publish("chat:1", "hi")
        assert attempts == [1, 2, 3]
        assert isinstance(failed.value.__cause__, ZeroDivisionError)
        assert "break_down" in failed.value.trace
        assert client.refused is not None
        (letter,) = server.dead
        assert (letter.reason, letter.channel, letter.data) == ("failed", "chat:1", b'"hi"')
        assert (letter.kind, letter.attempts) == ("publish", 3)


def test_failures_are_listed_where_they_are_not_raised(kit: Kit) -> None:
    app = App()

    @app.publish("chat:*")
    async def break_down(publication: Publication) -> None:
        raise ZeroDivisionError("oh")

    with kit.run(app, config=SETTINGS, raise_failures=False) as server:
        client = server.client("42")
        client.subscribe("chat:1")
        client.publish("chat:1", "hi")
        (failure,) = server.failures
        assert (failure.kind, failure.name, failure.attempts) == ("publish", "chat:1", 3)
        assert client.received("chat:1") == []


def test_an_entry_that_passes_at_last_is_no_failure(kit: Kit) -> None:
    app = App()

    @app.publish("chat:*")
    async def try_again(publication: Publication) -> None:
        if publication.attempt < 3:
            raise TimeoutError

    with kit.run(app, config=SETTINGS) as server:
        client = server.client("42")
        client.subscribe("chat:1")
        began = server.now
        client.publish("chat:1", "hi")
        assert client.received("chat:1") == ["hi"]
        # Its pauses took time, but not the test's.
        assert server.now > began


def test_handlers_run_in_the_tests_process_with_what_their_app_opened(kit: Kit) -> None:
    events: list[object] = []

    class Database(dict[str, str]):
        pass

    @asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[Database]:
        events.append("opened")
        yield Database()
        events.append("closed")

    app = App(lifespan=lifespan)

    @app.publish("chat:*")
    async def store(publication: Publication, database: State[Database]) -> object:
        database[publication.key] = publication.user
        events.append((os.getpid(), list(database.values())))
        return SWALLOW

    with kit.run(app, config=SETTINGS) as server:
        client = server.client("42")
        client.subscribe("chat:1")
        client.publish("chat:1", "hi")
        assert client.received("chat:1") == []
    assert events == ["opened", (os.getpid(), ["42"]), "closed"]


def test_what_a_handler_orders_is_seen_by_its_clients(kit: Kit) -> None:
    app = App()

    @app.publish("chat:*")
    async def obey(publication: Publication[str]) -> None:
        match publication.data:
            case "let me in":
                publication.subscribe(publication.user, "chat:inside")
            case "let me out":
                publication.unsubscribe(publication.user, "chat:inside")
            case "throw me out":
                publication.disconnect(publication.user, code=4500, reason="as you wish")
            case _:
                pass

    with kit.run(app, config=SETTINGS) as server:
        client, other = server.client("42"), server.client("43")
        for each in (client, other):
            each.subscribe("chat:1")
        client.publish("chat:1", "let me in")
        other.subscribe("chat:inside")
        other.publish("chat:inside", "hi")
        client.publish("chat:1", "let me out")
        other.publish("chat:inside", "are you still there?")
        assert client.received("chat:inside") == ["hi"]
        client.publish("chat:1", "throw me out")
        assert client.disconnected == Disconnected(4500, "as you wish")


def test_a_late_refusal_is_sent_and_kept(kit: Kit) -> None:
    app = App()

    @app.publish("chat:*")
    async def refuse(publication: Publication) -> None:
        raise Refuse("too late", code=600)

    with kit.run(app, config={"namespace": [{**CHAT, "reply": "queued"}]}) as server:
        client = server.client("42")
        client.subscribe("chat:1")
        client.publish("chat:1", "hi")
        assert client.refused is None
        error = {"code": 600, "message": "too late"}
        assert client.messages == [{"refused": {"channel": "chat:1", "error": error}}]
        assert [letter.reason for letter in server.dead] == ["refused"]


def test_what_is_no_app_is_not_run(kit: Kit) -> None:
    why = r"is a module, and has to be a forebay\.App"
    with pytest.raises(SettingsProblem, match=why), kit.run("tests.kit.named"):
        pass
    with pytest.raises(ModuleNotFoundError, match="nowhere"), kit.run("nowhere:app"):
        pass
    why = r"nowhere\.toml: no such file"
    with pytest.raises(SettingsProblem, match=why), kit.run(config="nowhere.toml"):
        pass


def test_an_app_that_cannot_stop_raises_why(kit: Kit) -> None:
    app = App()

    @app.on_shutdown
    def fail() -> None:
        raise ValueError("still in use")

    with pytest.raises(ValueError, match="still in use"), kit.run(app):
        pass
    with kit.run("tests.kit.named:app", permissive=True) as server:
        assert server.client("42").is_connected


def test_an_app_that_cannot_start_raises_why(kit: Kit) -> None:
    app = App()

    @app.on_startup
    async def connect_to_nothing() -> None:
        raise ConnectionRefusedError("no database")

    with pytest.raises(ConnectionRefusedError, match="no database"), kit.run(app):
        pass


def test_an_app_is_found_by_its_name(kit: Kit) -> None:
    with kit.run("tests.kit.named:app", config=SETTINGS) as server:
        client = server.client("42")
        client.subscribe("chat:1")
        client.publish("chat:1", "hi")
        assert client.refused == Refused(500, "as it is named")


def test_an_app_is_found_where_the_settings_name_it(kit: Kit, tmp_path: Path) -> None:
    path = tmp_path / "forebay.toml"
    path.write_text('[app]\npath = "tests.kit.named:app"\n')
    by_mapping = {"app": {"path": "tests.kit.named:app"}}
    for config in (path, by_mapping):
        with kit.run(config=config, permissive=True) as server:
            client = server.client("42")
            client.publish("chat:1", "hi")
            assert client.refused == Refused(500, "as it is named")


def test_calls_are_replied_to_refused_or_fail(kit: Kit) -> None:
    app = App()

    @app.rpc("add")
    async def add(call: Call[list[int]]) -> int:
        if not call.data:
            raise Refuse("nothing to add", code=501)
        return sum(call.data)

    @app.rpc("break")
    def break_down(call: Call) -> None:
        raise ZeroDivisionError("oh")

    with kit.run(app, config=SETTINGS) as server:
        client = server.client("42")
        assert client.rpc("add", [1, 2]) == 3
        with pytest.raises(Refused, match="501 nothing to add"):
            client.rpc("add", [])
        with pytest.raises(Refused, match="108 not available"):
            client.rpc("subtract")
        with pytest.raises(HandlerFailed, match="rpc 'break'"):
            client.rpc("break")


def test_what_a_client_sends_and_its_leaving_reach_the_app(kit: Kit) -> None:
    app = App()
    seen: list[Any] = []

    @app.send()
    async def take(message: Message) -> None:
        seen.append((message.user, message.data))
        message.send(message.user, {"thanks": True})

    @app.disconnect()
    async def see_off(left: Left) -> None:
        seen.append((left.user, "left"))

    settings = {**SETTINGS, "app": {"disconnect_handler": True}}
    with kit.run(app, config=settings) as server:
        client = server.client("42")
        client.send({"hello": "app"})
        assert client.messages == [{"thanks": True}]
        client.disconnect()
    assert seen == [("42", {"hello": "app"}), ("42", "left")]


def test_a_handler_that_hangs_is_told_with_its_place(kit: Kit) -> None:
    app = App()
    released = threading.Event()

    @app.publish("chat:*")
    def wait_for_ever(publication: Publication) -> None:
        released.wait()

    with kit.run(app, config=SETTINGS, patience_seconds=1.0) as server:
        client = server.client("42")
        client.subscribe("chat:1")
        with pytest.raises(Unanswered, match="no answer within 1 s") as unanswered:
            client.publish("chat:1", "hi")
    released.set()
    assert "released.wait()" in unanswered.value.__notes__[0]


def test_a_handler_at_a_breakpoint_has_all_the_time_in_the_world(kit: Kit) -> None:
    app = App()
    never = threading.Event()

    class Person(StringIO):
        """Looks at the handler for longer than a test has patience, and then goes on."""

        def readline(self, *_: object) -> str:  # type: ignore[override]  # of texts, it is
            never.wait(1.5)
            return "continue\n"

    @app.publish("chat:*")
    def stop(publication: Publication) -> None:
        pdb.Pdb(stdin=Person(), stdout=StringIO()).set_trace()

    with kit.run(app, config=SETTINGS, patience_seconds=1.0) as server:
        client = server.client("42")
        client.subscribe("chat:1")
        client.publish("chat:1", "hi")
        assert client.received("chat:1") == ["hi"]


def test_hooks_are_asked_before_a_client_is_let_in(kit: Kit) -> None:
    app = App()

    @app.connect()
    async def welcome(connect: Connect) -> Welcome:
        if connect.data != {"password": "open sesame"} and not connect.headers:
            raise Refuse("who are you?", code=502)
        return Welcome(user=connect.headers.get("cookie", "ali"))

    @app.subscribe("chat:*")
    async def admit(subscribe: Subscribe) -> None:
        if subscribe.channel != "chat:cave":
            raise Refuse("not here", code=503)

    settings = {
        "app": {"connect_handler": True, "connect_headers": ["Cookie"]},
        "client": {"allow_anonymous_connect_without_token": True},
        "namespace": [{**CHAT, "subscribe_handler": True}],
    }
    with kit.run(app, config=settings) as server:
        stranger = server.client(headers={"X-Trust": "me"})
        assert stranger.refused == Refused(502, "who are you?")
        ali = server.client(data={"password": "open sesame"})
        ali.subscribe("chat:street")
        assert ali.refused == Refused(503, "not here")
        ali.subscribe("chat:cave")
        server.client(headers={"Cookie": "kasim"}).subscribe("chat:cave")
        assert {member.user for member in ali.presence("chat:cave")} == {"ali", "kasim"}


def test_handlers_are_asked_after_days_as_before(kit: Kit) -> None:
    app = App()

    @app.connect()
    async def welcome(connect: Connect) -> Welcome:
        return Welcome(info={"name": connect.user})

    @app.publish("chat:*")
    async def count(publication: Publication) -> dict[str, int]:
        return {"attempt": publication.attempt}

    settings = {**SETTINGS, "app": {"connect_handler": True}}
    with kit.run(app, config=settings) as server:
        old = server.client("1")
        old.subscribe("chat:1")
        server.advance(hours=50)
        assert old.is_connected
        new = server.client("2")
        new.subscribe("chat:1")
        new.publish("chat:1", "hi")
        assert old.received("chat:1") == [{"attempt": 1}]
        assert {member.conn_info["name"] for member in old.presence("chat:1")} == {"1", "2"}
