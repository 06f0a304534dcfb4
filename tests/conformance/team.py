"""The handlers of a team, for the vectors about them. Imports nothing of Forebay but `forebay`."""

import time
from typing import Any

from forebay import (
    Admission,
    App,
    Call,
    Connect,
    Disconnect,
    Message,
    Refuse,
    Subscribe,
    Welcome,
)

app = App()


@app.connect()
async def connect(connect: Connect[Any]) -> Welcome | None:
    """Let in whoever says no more than it should."""
    match connect.data:
        case {"who": "nobody"}:
            raise Refuse("members only", code=700)
        case {"who": "banned"}:
            raise Disconnect(4501, "banned")
        case {"who": str(who)}:
            return Welcome(user=who, data={"hello": who}, channels=["plain:of-the-team"])
        case _:
            return None


@app.subscribe("handled:*")
async def subscribe(subscribe: Subscribe[Any]) -> Admission | None:
    """Let everybody have all channels but one."""
    if subscribe.channel == "handled:full":
        raise Refuse("full", code=701)
    return Admission(data={"seat": 1})


@app.send()
async def hear(message: Message[Any]) -> None:
    """Say it back."""
    message.send(message.user, message.data, client=message.client)


@app.rpc("add")
async def add(call: Call[list[int]]) -> int:
    """Give a sum."""
    return sum(call.data)


@app.rpc("refuse")
async def refuse(call: Call[Any]) -> None:
    """Say no."""
    raise Refuse("not today", code=702)


@app.rpc("order *")
async def order(call: Call[Any]) -> str:
    """Have something done with the caller."""
    user, client = call.user, call.client
    match call.method.removeprefix("order "):
        case "subscribe":
            call.subscribe(user, "plain:ordered", client=client, data={"n": 1})
        case "unsubscribe":
            call.unsubscribe(user, "plain:ordered", client=client)
        case "refresh":
            call.refresh(user, client=client, expire_at=time.time() + 600)
        case "expire":
            call.expire(user, client=client)
        case "disconnect":
            call.disconnect(user, client=client, code=4123, reason="go")
        case what:
            raise Refuse(f"nobody knows how to {what}")
    return "as you say"
