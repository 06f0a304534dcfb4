"""Who may do what where."""

from typing import Any

import pytest

from services.config import DEVELOPMENT, Config
from services.permissions import Permissions, Tracking, Who
from services.wire.channel import parse_channel
from services.wire.command import SubscribeRequest
from services.wire.errors import ErrorCode

DENIED = ErrorCode.PERMISSION_DENIED
HISTORY = {"history_size": 10, "history_ttl": 60}


def permissions(options: dict[str, Any], client: dict[str, Any] | None = None) -> Permissions:
    namespace = {"name": "ns"} | options
    return Permissions(Config.model_validate({"client": client or {}, "namespace": [namespace]}))


@pytest.mark.parametrize(
    ("options", "who", "channel", "answer"),
    [
        ({}, Who("u"), "ns:a", DENIED),
        ({}, Who(""), "ns:a", DENIED),
        ({}, Who("u", has_token=True), "ns:a", None),
        ({}, Who("u", has_token=True), "$ns:a", None),
        ({}, Who("u", has_token=True), "ns:a#v", None),
        ({"allow_subscribe_for_client": True}, Who("u"), "ns:a", None),
        ({"allow_subscribe_for_client": True}, Who("u"), "$ns:a", DENIED),
        ({"allow_subscribe_for_client": True}, Who(""), "ns:a", DENIED),
        ({"allow_subscribe_for_anonymous": True}, Who(""), "ns:a", DENIED),
        (
            {"allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True},
            Who(""),
            "ns:a",
            None,
        ),
        ({"allow_user_limited_channels": True}, Who("u"), "ns:a#u,v", None),
        ({"allow_user_limited_channels": True}, Who("w"), "ns:a#u,v", DENIED),
        ({"allow_user_limited_channels": True}, Who(""), "ns:a#", DENIED),
        ({"allow_user_limited_channels": True}, Who("u"), "$ns:a#u", DENIED),
        ({"allow_user_limited_channels": True}, Who("u"), "ns:a", DENIED),
        ({"allow_subscribe_for_client": True}, Who("w"), "ns:a#u", DENIED),
        ({}, Who("u"), "ns:a#u", DENIED),
        ({"channel_regex": "[0-9]+"}, Who("u", has_token=True), "ns:a", ErrorCode.BAD_REQUEST),
        ({"channel_regex": "[0-9]+"}, Who("u", has_token=True), "$ns:7", None),
        ({}, Who("u", has_token=True), "other:a", ErrorCode.UNKNOWN_CHANNEL),
        ({}, Who("u"), "a", DENIED),
    ],
)
def test_subscribing_is_denied_unless_allowed(
    options: dict[str, Any], who: Who, channel: str, answer: ErrorCode | None
) -> None:
    assert permissions(options).may_subscribe(who, parse_channel(channel)) is answer


CLIENT, SUBSCRIBER, ANONYMOUS = "for_client", "for_subscriber", "for_anonymous"


@pytest.mark.parametrize(
    ("allowed", "who", "channel", "answer"),
    [
        ([], Who("u", is_subscribed=True), "ns:a", DENIED),
        ([CLIENT], Who("u"), "ns:a", None),
        ([CLIENT], Who("u", is_subscribed=True), "ns:a", None),
        ([CLIENT], Who(""), "ns:a", DENIED),
        ([CLIENT, ANONYMOUS], Who(""), "ns:a", None),
        ([SUBSCRIBER], Who("u"), "ns:a", DENIED),
        ([SUBSCRIBER], Who("u", is_subscribed=True), "ns:a", None),
        ([SUBSCRIBER], Who("", is_subscribed=True), "ns:a", DENIED),
        ([SUBSCRIBER, ANONYMOUS], Who("", is_subscribed=True), "ns:a", None),
        ([ANONYMOUS], Who("", is_subscribed=True), "ns:a", DENIED),
        ([CLIENT], Who("u"), "$ns:a", DENIED),
        ([CLIENT], Who("u", is_subscribed=True), "$ns:a", None),
        ([CLIENT], Who("u"), "ns:a#v", DENIED),
        ([CLIENT], Who("u"), "ns:a#u", None),
        ([CLIENT], Who("u"), "other:a", ErrorCode.UNKNOWN_CHANNEL),
    ],
)
def test_publishing_and_reading_history_are_denied_unless_allowed(
    allowed: list[str], who: Who, channel: str, answer: ErrorCode | None
) -> None:
    publish = permissions({f"allow_publish_{name}": True for name in allowed})
    assert publish.may_publish(who, parse_channel(channel)) is answer
    history = permissions(HISTORY | {f"allow_history_{name}": True for name in allowed})
    assert history.may_read_history(who, parse_channel(channel)) is answer


@pytest.mark.parametrize(
    ("allowed", "who", "channel", "answer"),
    [
        ([], Who("u", is_subscribed=True), "ns:a", DENIED),
        ([CLIENT], Who("u"), "ns:a", None),
        ([CLIENT], Who(""), "ns:a", DENIED),
        ([CLIENT, ANONYMOUS], Who(""), "ns:a", None),
        ([SUBSCRIBER], Who("u"), "ns:a", DENIED),
        ([SUBSCRIBER], Who("u", is_subscribed=True), "ns:a", None),
        ([SUBSCRIBER, ANONYMOUS], Who("", is_subscribed=True), "ns:a", None),
        ([CLIENT], Who("u"), "$ns:a", DENIED),
        ([CLIENT], Who("u"), "other:a", ErrorCode.UNKNOWN_CHANNEL),
    ],
)
def test_presence_is_denied_unless_allowed(
    allowed: list[str], who: Who, channel: str, answer: ErrorCode | None
) -> None:
    options = {f"allow_presence_{name}": True for name in allowed}
    seen = permissions(options | {"presence": True})
    assert seen.may_ask_presence(who, parse_channel(channel)) is answer


def test_presence_is_not_available_where_it_is_off() -> None:
    channel = parse_channel("ns:a")
    everything = permissions({"allow_presence_for_client": True}, {"insecure": True})
    assert everything.may_ask_presence(Who("u"), channel) is ErrorCode.NOT_AVAILABLE
    assert (
        permissions({"presence": True}, {"insecure": True}).may_ask_presence(Who(""), channel)
        is None
    )


SEEN = {"join_leave": True, "allow_presence_for_subscriber": True}


@pytest.mark.parametrize(
    ("options", "wishes", "hears"),
    [
        (SEEN, True, True),
        (SEEN, False, False),
        ({"join_leave": True}, True, False),
        ({"allow_presence_for_subscriber": True}, True, False),
        ({"join_leave": True, "force_push_join_leave": True}, False, True),
    ],
)
def test_a_wish_for_joins_counts_only_where_presence_may_be_asked(
    options: dict[str, Any], wishes: bool, hears: bool
) -> None:
    request = SubscribeRequest("ns:a", join_leave=wishes)
    asked = permissions(options).hears_movements(Who("u"), parse_channel("ns:a"), request)
    assert asked is hears


def test_history_is_not_available_where_none_is_kept() -> None:
    channel = parse_channel("ns:a")
    everything = permissions({"allow_history_for_client": True}, {"insecure": True})
    assert everything.may_read_history(Who("u"), channel) is ErrorCode.NOT_AVAILABLE


def test_a_channel_regex_binds_publishers_too() -> None:
    strict = permissions({"allow_publish_for_client": True, "channel_regex": "x"})
    assert strict.may_publish(Who("u"), parse_channel("ns:y")) is ErrorCode.BAD_REQUEST


def test_insecure_opens_everything_but_unknown_namespaces() -> None:
    insecure = permissions(HISTORY, {"insecure": True})
    for name in ("ns:a", "$ns:a", "ns:a#other"):
        channel = parse_channel(name)
        assert insecure.may_subscribe(Who(""), channel) is None
        assert insecure.may_publish(Who(""), channel) is None
        assert insecure.may_read_history(Who(""), channel) is None
    unknown = insecure.may_publish(Who(""), parse_channel("other:a"))
    assert unknown is ErrorCode.UNKNOWN_CHANNEL


@pytest.mark.parametrize("name", ["lobby", "chat:1", "any:thing"])
def test_development_opens_any_channel_to_anonymous_clients(name: str) -> None:
    development = Permissions(Config.model_validate(DEVELOPMENT))
    channel = parse_channel(name)
    assert development.may_subscribe(Who(""), channel) is None
    assert development.may_publish(Who(""), channel) is None
    assert development.may_read_history(Who(""), channel) is None
    tracking = development.tracking(Who(""), channel, SubscribeRequest(name))
    assert tracking == Tracking(is_positioned=True, is_recoverable=True)


NONE, POSITION, RECOVERY = Tracking(False, False), Tracking(True, False), Tracking(True, True)
NEWEST = RECOVERY._replace(recovers_newest=True)
UNASKED = NEWEST._replace(recovers_unasked=True)
CACHE = HISTORY | {"force_recovery": True, "force_recovery_mode": "cache"}
WISHES = SubscribeRequest("ns:a", positioned=True, recoverable=True)


@pytest.mark.parametrize(
    ("options", "request_", "tracking"),
    [
        ({}, WISHES, NONE),
        (HISTORY, WISHES, NONE),
        (HISTORY | {"force_recovery": True}, SubscribeRequest("ns:a"), RECOVERY),
        (HISTORY | {"allow_recovery": True}, WISHES, RECOVERY),
        (HISTORY | {"allow_recovery": True}, SubscribeRequest("ns:a"), NONE),
        ({"force_positioning": True}, SubscribeRequest("ns:a"), POSITION),
        ({"allow_positioning": True}, WISHES, POSITION),
        (HISTORY | {"allow_history_for_subscriber": True}, WISHES, RECOVERY),
        (
            HISTORY | {"allow_history_for_subscriber": True},
            SubscribeRequest("ns:a", positioned=True),
            POSITION,
        ),
        (HISTORY | {"force_positioning": True}, WISHES, POSITION),
        (CACHE, SubscribeRequest("ns:a"), NEWEST),
        (CACHE | {"auto_cache_recover": True}, SubscribeRequest("ns:a"), UNASKED),
        (HISTORY | {"allow_recovery": True, "force_recovery_mode": "cache"}, WISHES, NEWEST),
        (
            HISTORY | {"allow_recovery": True, "force_recovery_mode": "cache"},
            SubscribeRequest("ns:a"),
            NONE,
        ),
    ],
)
def test_a_subscription_tracks_what_settings_and_wishes_agree_on(
    options: dict[str, Any], request_: SubscribeRequest, tracking: Tracking
) -> None:
    found = permissions(options).tracking(Who("u"), parse_channel("ns:a"), request_)
    assert found == tracking


DELTA = HISTORY | {"force_recovery": True, "delta_publish": True}


@pytest.mark.parametrize(
    ("options", "asked", "is_told"),
    [
        (DELTA, "fossil", True),
        (DELTA, "", False),
        (DELTA, "another", False),
        (DELTA | {"delta_publish": False}, "fossil", False),
        (DELTA | {"allowed_delta_types": []}, "fossil", False),
        (DELTA | {"force_recovery": False}, "fossil", False),
        (DELTA | {"force_recovery": False, "force_positioning": True}, "fossil", True),
    ],
)
def test_deltas_are_told_where_settings_and_wishes_agree_and_positions_are_kept(
    options: dict[str, Any], asked: str, *, is_told: bool
) -> None:
    request = SubscribeRequest("ns:a", delta=asked)
    found = permissions(options).tracking(Who("u"), parse_channel("ns:a"), request)
    assert found.tells_deltas is is_told
