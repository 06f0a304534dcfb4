"""A board of prices that one program feeds: whatever else is sent never reaches a page."""

from typing import Annotated

import msgspec
from forebay import App, Publication, Refuse

FEEDER = "feeder"

Price = Annotated[float, msgspec.Meta(gt=0)]
Prices = Annotated[list[Price], msgspec.Meta(min_length=1, max_length=60)]


class Board(msgspec.Struct):
    """The latest prices of each symbol, oldest first: whoever sees one board has seen enough."""

    prices: dict[str, Prices]


app = App()


@app.publish("board:*")
def check(publication: Publication[Board]) -> None:
    """Let boards pass that are the feeder's and have prices in them."""
    if publication.user != FEEDER:
        raise Refuse("the feeder alone publishes here", code=103)
    if not publication.data.prices:
        raise Refuse("an empty board", code=600)
