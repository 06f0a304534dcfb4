"""What is said of settings that are valid."""

from typing import Any

import pytest

from services.advice import describe_surprises
from services.settings import Config

HISTORY = {"history_size": 10, "history_ttl": "1m"}
LONG_KEY = "k" * 32
QUIET: dict[str, Any] = {
    "rabbitmq": {"url": "amqp://host"},
    "client": {"token": {"hmac_secret_key": LONG_KEY}, "allowed_origins": "https://example.org"},
}


def surprises(**sections: Any) -> list[str]:
    return describe_surprises(Config.model_validate(QUIET | sections))


def test_usual_settings_surprise_nobody() -> None:
    namespace = {"name": "chat", **HISTORY, "force_recovery": True}
    assert surprises(namespace=[namespace]) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "namespace chat: no history, a reconnecting client misses messages"),
        (HISTORY, "namespace chat: history, but a reconnecting client does not get it"),
        ({"allow_publish_for_anonymous": True}, "allow_publish_for_anonymous does nothing without"),
        ({"allow_subscribe_for_anonymous": True}, "allow_subscribe_for_anonymous does nothing"),
        (
            {**HISTORY, "delta_publish": True, "allowed_delta_types": []},
            "delta_publish does nothing without allowed_delta_types",
        ),
        (
            {**HISTORY, "force_recovery": True, "conflate": "100ms"},
            "namespace chat: conflate, but a reconnecting client gets all that it missed",
        ),
    ],
)
def test_a_namespace_that_surprises_is_named(options: dict[str, Any], says: str) -> None:
    assert any(says in each for each in surprises(namespace=[{"name": "chat", **options}]))


def test_a_ticker_whose_newest_alone_is_recovered_surprises_nobody() -> None:
    newest = {"force_recovery": True, "force_recovery_mode": "cache"}
    namespace = {"name": "ticker", **HISTORY, **newest, "conflate": "100ms"}
    assert surprises(namespace=[namespace]) == []


def test_a_history_that_outlives_the_log_is_said() -> None:
    options = {**HISTORY, "history_ttl": "30m", "allow_subscribe_for_client": True}
    found = surprises(
        rabbitmq={"url": "amqp://host", "log_max_age": "10m"}, without_namespace=options
    )
    assert any("without_namespace: history_ttl is longer" in each for each in found)


@pytest.mark.parametrize("name", ["token", "subscription_token"])
def test_a_short_secret_is_said_but_not_shown(name: str) -> None:
    tokens = {"token": {"hmac_secret_key": LONG_KEY}, name: {"hmac_secret_key": "hush" * 7}}
    found = "\n".join(surprises(client=tokens))
    assert f"client.{name}.hmac_secret_key: 28 bytes" in found
    assert "hush" not in found


CHAT = {"name": "chat", **HISTORY, "force_recovery": True}
ASKED = {"connect_handler": True}


@pytest.mark.parametrize(
    ("app", "namespace", "says"),
    [
        (ASKED, CHAT, ["app.path: empty, so no worker answers (app.connect_handler)"]),
        ({}, {**CHAT, "subscribe_handler": True}, ["app.path: empty"]),
        (
            {**ASKED, "path": "chat:app", "hook_unanswered": "allow"},
            {**CHAT, "subscribe_handler": True},
            ["come in without being asked about", "(app.connect_handler and subscribe_handler)"],
        ),
    ],
)
def test_handlers_that_are_to_be_asked_and_may_not_be_are_said(
    app: dict[str, Any], namespace: dict[str, Any], says: list[str]
) -> None:
    (found,) = surprises(app=app, namespace=[namespace])
    assert all(words in found for words in says)


@pytest.mark.parametrize(
    ("app", "says"),
    [
        ({"connect_headers": "Cookie"}, "app.connect_headers does nothing"),
        ({"hook_timeout": 10}, "app.hook_timeout: not shorter than client.pong_timeout"),
    ],
)
def test_what_does_not_fit_the_handlers_that_are_asked_is_said(
    app: dict[str, Any], says: str
) -> None:
    (found,) = surprises(
        app={"path": "chat:app", **app}, namespace=[{**CHAT, "subscribe_handler": True}]
    )
    assert says in found
    assert surprises(app={**ASKED, **app, "path": "chat:app"}, namespace=[CHAT]) == []


def test_handlers_that_workers_have_surprise_nobody() -> None:
    assert surprises(app={**ASKED, "path": "chat:app"}, namespace=[CHAT]) == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "::1"])
def test_a_front_for_this_machine_alone_surprises_nobody(host: str) -> None:
    namespace = {"name": "chat", **HISTORY, "force_recovery": True}
    opened = {"plain": {"enabled": True}, "page": {"enabled": True}}
    assert surprises(front={"host": host}, namespace=[namespace], **opened) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "front.example.org"])
def test_a_front_for_other_machines_needs_a_proxy_for_tls(host: str) -> None:
    (found,) = surprises(front={"host": host})
    assert found.startswith(f"front.host: {host} ")
    assert "plain ws://" in found
    assert "TLS" in found


@pytest.mark.parametrize(
    ("sections", "setting"),
    [
        ({"plain": {"enabled": True}}, "plain.enabled"),
        ({"page": {"enabled": True}}, "page.enabled"),
        ({"client": {**QUIET["client"], "insecure": True}}, "client.insecure"),
        (
            {"client": {**QUIET["client"], "allow_anonymous_connect_without_token": True}},
            "client.allow_anonymous_connect_without_token",
        ),
    ],
)
def test_what_is_open_to_other_machines_is_named(sections: dict[str, Any], setting: str) -> None:
    found = surprises(front={"host": "0.0.0.0"}, **sections)
    assert any(
        each.startswith("front.host: ") and f"what {setting} opens" in each for each in found
    )


def test_settings_with_which_nobody_can_connect_are_said() -> None:
    found = "\n".join(describe_surprises(Config()))
    for words in ("rabbitmq.url", "nobody can connect", "no web page"):
        assert words in found


def test_a_log_that_is_small_beside_the_pool_is_said_where_there_are_handlers() -> None:
    small = {"url": "amqp://host", "log_max_bytes": "600MiB"}
    (found,) = surprises(rabbitmq=small, app={"path": "chat:app"})
    assert "rabbitmq.log_max_bytes: less than twice rabbitmq.inbound_max_bytes" in found
    assert surprises(rabbitmq=small) == []
