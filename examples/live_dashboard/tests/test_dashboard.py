"""Who may put what on the board, and what pages are told of it."""

import pytest
from forebay.testing import Refused, Server

from app import FEEDER
from feeder import CHANNEL, SYMBOLS, Market


def board(price: float) -> dict[str, object]:
    """A board with one symbol."""
    return {"prices": {"ACME": [price]}}


def test_pages_are_told_what_the_feeder_publishes(forebay: Server) -> None:
    page, feeder = forebay.client(), forebay.client(FEEDER)
    page.subscribe(CHANNEL)
    feeder.publish(CHANNEL, Market(seed=1).move())
    assert feeder.refused is not None  # prices alone are no board
    feeder.publish(CHANNEL, {"prices": Market(seed=1).move()})
    assert feeder.refused is None
    (told,) = page.received(CHANNEL)
    assert list(told["prices"]) == SYMBOLS


def test_a_page_that_comes_later_is_told_the_newest_board_alone(forebay: Server) -> None:
    feeder = forebay.client(FEEDER)
    for price in (1.5, 2.5):
        feeder.publish(CHANNEL, board(price))
    page = forebay.client()
    page.subscribe(CHANNEL)
    assert page.received(CHANNEL) == [board(2.5)]


def test_pages_are_told_ten_boards_a_second_of_fifty(forebay: Server) -> None:
    page, feeder = forebay.client(), forebay.client(FEEDER)
    page.subscribe(CHANNEL)
    for number in range(50):
        feeder.publish(CHANNEL, board(number + 1))
        forebay.advance(0.02)
    forebay.advance(0.1)
    told = page.received(CHANNEL)
    assert 10 <= len(told) <= 12
    assert told[-1] == board(50)


@pytest.mark.parametrize("user", ["", "somebody"])
def test_nobody_but_the_feeder_may_publish(user: str, forebay: Server) -> None:
    client = forebay.client(user)
    client.publish(CHANNEL, board(1))
    assert client.refused is not None
    assert client.refused.code == 103


@pytest.mark.parametrize("prices", [{}, {"ACME": []}, {"ACME": [-1.0]}, {"ACME": ["1"]}])
def test_what_is_no_board_is_refused_to_the_feeder(
    prices: dict[str, object], forebay: Server
) -> None:
    page, feeder = forebay.client(), forebay.client(FEEDER)
    page.subscribe(CHANNEL)
    feeder.publish(CHANNEL, {"prices": prices})
    assert isinstance(feeder.refused, Refused)
    assert page.received(CHANNEL) == []


def test_prices_move_and_stay_prices() -> None:
    market = Market(seed=1)
    for _ in range(1_000):
        prices = market.move()
    assert all(0 < len(latest) <= 40 and min(latest) > 0 for latest in prices.values())
