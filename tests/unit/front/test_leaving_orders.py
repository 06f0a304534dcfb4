"""Whom orders to leave mean that was on its way in."""

from services.front.leaving_orders import REMEMBERED_AT_MOST, LeavingOrders
from services.orders import DisconnectOrder, UnsubscribeOrder
from services.wire.errors import Disconnect, ErrorCode


def test_an_order_from_before_a_client_began_to_come_is_not_for_it() -> None:
    leaving = LeavingOrders()
    leaving.note(DisconnectOrder(user="ann"))
    mark = leaving.mark
    assert leaving.ending_since(mark, "ann", "c1") is None
    leaving.note(UnsubscribeOrder(user="ann"))
    assert leaving.ending_since(mark, "ann", "c1") is None


def test_a_client_is_meant_by_its_user_or_its_id_or_both() -> None:
    leaving = LeavingOrders()
    leaving.note(DisconnectOrder(user="ann"))
    leaving.note(DisconnectOrder(client="c2"))
    leaving.note(DisconnectOrder(user="bob", client="c3"))
    who = [("ann", "c1"), ("", "c2"), ("bob", "c3"), ("bob", "c4"), ("", "c3"), ("eve", "c5")]
    meant = [leaving.ending_since(0, user, client) is not None for user, client in who]
    assert meant == [True, True, True, False, False, False]


def test_a_client_is_kept_out_of_the_channel_that_it_was_taken_out_of() -> None:
    leaving = LeavingOrders()
    leaving.note(UnsubscribeOrder(user="ann", channel="a"))
    leaving.note(UnsubscribeOrder(user="bob", code=2502))
    assert leaving.denial_since(0, "ann", "c1", "a") is ErrorCode.PERMISSION_DENIED
    assert leaving.denial_since(0, "ann", "c1", "b") is None
    assert leaving.denial_since(0, "bob", "c2", "b") is ErrorCode.INTERNAL


def test_who_waited_for_longer_than_orders_are_remembered_comes_again() -> None:
    leaving = LeavingOrders()
    for _ in range(REMEMBERED_AT_MOST):
        leaving.note(DisconnectOrder(user="ann"))
    assert leaving.ending_since(0, "eve", "c1") is None
    leaving.note(DisconnectOrder(user="ann"))
    assert leaving.ending_since(0, "eve", "c1") is Disconnect.INTERNAL
    assert leaving.denial_since(0, "eve", "c1", "a") is ErrorCode.INTERNAL
    assert leaving.ending_since(1, "eve", "c1") is None
