"""What fronts are told to do: the JSON, as services read it and as handlers write it."""

import msgspec
import pytest

from forebay import orders as handlers
from services import orders
from services.orders import NoOrder, Order, decode_order, encode_order

RAW = msgspec.Raw(b'{"mood":"glad"}')

PAIRS: list[tuple[Order, handlers.Order]] = [
    (orders.SendOrder(user="ada", data=RAW), handlers.SendOrder(user="ada", data=RAW)),
    (orders.DisconnectOrder(user="ada"), handlers.DisconnectOrder(user="ada")),
    (
        orders.DisconnectOrder(client="c", code=4501, reason="spam"),
        handlers.DisconnectOrder(client="c", code=4501, reason="spam"),
    ),
    (
        orders.UnsubscribeOrder(user="ada", channel="chat:1"),
        handlers.UnsubscribeOrder(user="ada", channel="chat:1"),
    ),
    (
        orders.SubscribeOrder(user="ada", channel="chat:1", info=RAW, data=RAW, expire_at=7.5),
        handlers.SubscribeOrder(user="ada", channel="chat:1", info=RAW, data=RAW, expire_at=7.5),
    ),
    (
        orders.RefreshOrder(user="ada", expire_at=7.5),
        handlers.RefreshOrder(user="ada", expire_at=7.5),
    ),
    (
        orders.RefreshOrder(user="ada", is_expired=True),
        handlers.RefreshOrder(user="ada", is_expired=True),
    ),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_handlers_write_orders_as_fronts_read_them(ours: Order, theirs: handlers.Order) -> None:
    assert encode_order(ours) == handlers.encode_order(theirs)


@pytest.mark.parametrize("order", [ours for ours, _ in PAIRS])
def test_an_order_comes_through_the_log_whole(order: Order) -> None:
    assert encode_order(decode_order(encode_order(order))) == encode_order(order)


def test_an_order_for_nobody_is_none() -> None:
    with pytest.raises(NoOrder):
        decode_order(b'{"order":"disconnect"}')
    with pytest.raises(ValueError, match="user or a client"):
        handlers.DisconnectOrder()
