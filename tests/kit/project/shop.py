"""A team's app."""

from dataclasses import dataclass

from broker.prices import PRICES
from services.spelling import is_spam

from forebay import App, Call, Publication, Refuse

app = App()


@dataclass
class Line:
    """What is said in a chat."""

    text: str


@app.publish(namespace="chat")
async def moderate(publication: Publication[Line]) -> None:
    """Keep spam out."""
    if is_spam(publication.data.text):
        raise Refuse("no spam", code=500)


@app.rpc("price")
def price(call: Call[str]) -> int:
    """Tell what something costs."""
    return PRICES[call.data]
