"""The hub knows who is subscribed, and nobody else."""

from hypothesis import given
from hypothesis import strategies as st

from services.front.encoding import Encoding
from services.front.encodings.websocket_json import WEBSOCKET_JSON
from services.front.hub import Hub, Subscription
from services.front.outbox import Flusher, Outbox
from services.front.plain.encoding import PlainText
from services.template import Template
from services.wire.errors import Disconnect, Unsubscribed
from tests.unit.front.stage import Wire


class Subscriber:
    """Holds subscriptions; leaves one when told to."""

    def __init__(self, hub: Hub, encoding: Encoding = WEBSOCKET_JSON) -> None:
        self.id = ""
        self.user = ""
        self.outbox = Outbox(Wire(), Flusher(lambda _: None, lambda _, __: None), 1000)
        self.encoding = encoding
        self.told: list[tuple[str, Unsubscribed]] = []
        self._hub = hub

    def info(self, chan_info: bytes) -> bytes:
        raise AssertionError("the hub tells nobody who is there")

    def end_subscription(self, subscription: Subscription, why: Unsubscribed) -> None:
        self._hub.remove(subscription)
        self.told.append((subscription.channel, why))

    def disconnect(self, why: Disconnect, explanation: str = "") -> None:
        raise AssertionError("the hub disconnects nobody")


ENCODINGS = (WEBSOCKET_JSON, PlainText(Template("")))


def subscription(
    hub: Hub, channel: str, *, is_positioned: bool = True, encoding: Encoding = WEBSOCKET_JSON
) -> Subscription:
    return Subscription(Subscriber(hub, encoding), channel, 0, is_positioned=is_positioned)


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(("add", "remove")))))
def test_adding_and_removing_in_any_order_leaves_no_residue(steps: list[tuple[int, str]]) -> None:
    hub = Hub()
    stays = [
        subscription(hub, f"channel {number % 3}", encoding=ENCODINGS[number % 2])
        for number in range(10)
    ]
    inside: set[Subscription] = set()
    gone: set[Subscription] = set()
    for number, action in steps:
        stay = stays[number]
        if action == "add":
            hub.add(stay)
            inside |= {stay} - gone
        else:
            hub.remove(stay)
            inside.discard(stay)
            gone.add(stay)
        for channel in ("channel 0", "channel 1", "channel 2"):
            expected = {s for s in inside if s.channel == channel}
            assert set(hub.members(channel)) == expected
            assert hub.is_subscribed(channel) == bool(expected)
            groups = {encoding: set(members) for encoding, members in hub.groups(channel)}
            for encoding in ENCODINGS:
                its = {s for s in expected if s.encoding is encoding}
                assert groups.get(encoding, set()) == set(hub.group(channel, encoding)) == its
        assert set(hub.channels()) == {s.channel for s in inside}
        assert len(hub) == len(set(hub.channels()))
        assert hub.subscriptions == len(inside)
    for stay in stays:
        hub.remove(stay)
    assert (len(hub), hub.subscriptions, list(hub.channels())) == (0, 0, [])


def test_lost_continuity_concerns_those_who_rely_on_it_in_the_channels_named() -> None:
    hub = Hub()
    stays = [
        subscription(hub, "a"),
        subscription(hub, "a", is_positioned=False),
        subscription(hub, "b"),
    ]
    for stay in stays:
        hub.add(stay)
    assert hub.lose_continuity(["a", "nobody here"]) == 1
    assert [stay.is_active for stay in stays] == [False, True, True]
    assert hub.lose_continuity() == 1
    assert [stay.is_active for stay in stays] == [False, True, False]
