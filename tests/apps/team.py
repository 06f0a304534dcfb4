"""The app of these tests: its handlers do what the data that they are given says.

Each try is noted in the file that APPS_JOURNAL names, before anything is done.
"""

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import msgspec

from forebay import (
    SWALLOW,
    Acting,
    Admission,
    App,
    Call,
    Connect,
    Disconnect,
    Left,
    Message,
    Publication,
    Refuse,
    Subscribe,
    Welcome,
)

app = App()

_JOURNAL = os.open(os.environ["APPS_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
_FOLDER = Path(os.environ["APPS_JOURNAL"]).parent
_FOR_EVER_SECONDS = 3_600.0
_HOARDED_BYTES = 200 * 1024 * 1024
_LEAKED_BYTES = 80 * 1024 * 1024
_kept: list[bytearray] = []


class Wish(msgspec.Struct):
    """What is to be done with a publication."""

    how: str = ""
    fails: int = 0
    """In so many tries it does, afterwards it succeeds."""
    besides: dict[str, Any] = {}
    """What to publish besides, by channel; before anything fails."""
    n: int = 0


class NoSuchRoom(Exception):
    """What a team's code may well raise."""


def _note(what: str, **facts: Any) -> None:
    line = {"what": what, "pid": os.getpid(), **facts}
    os.write(_JOURNAL, json.dumps(line).encode() + b"\n")


async def _hang() -> None:
    await asyncio.sleep(_FOR_EVER_SECONDS)


def _block() -> None:
    time.sleep(_FOR_EVER_SECONDS)


async def _fail(how: str) -> object:
    match how:
        case "raise":
            raise NoSuchRoom("no such room")
        case "hang":
            await _hang()
        case "block":
            _block()
        case "exit":
            os._exit(7)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hoard":
            _kept.append(bytearray(b"x") * _HOARDED_BYTES)
            _block()
        case "nonsense":
            return object()
        case _:
            raise AssertionError(how)
    return None


def _is_mended(channel: str) -> bool:
    """Whether somebody has done what there was to do before it fails no more."""
    return (_FOLDER / f"mended-{channel.replace(':', '-')}").exists()


def _is_first_of(key: str) -> bool:
    """Whether no other process has asked this of the same entry."""
    try:
        (_FOLDER / f"asked-{key.replace('/', '-')}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


@app.publish("bytes:*")
def turn(publication: Publication[bytes]) -> bytes:
    """Publish what it was the other way round."""
    return publication.data[::-1]


@app.publish("hasty:*")
@app.publish("open:*")
async def grant(publication: Publication[Wish]) -> object:
    """Do what is wished for."""
    wish = publication.data
    _note(
        "publish",
        channel=publication.channel,
        n=wish.n,
        key=publication.key,
        attempt=publication.attempt,
    )
    for channel, data in wish.besides.items():
        publication.publish(channel, data)
    if publication.attempt <= wish.fails and not _is_mended(publication.channel):
        return await _fail(wish.how)
    return await _succeed(wish, publication.key)


async def _succeed(wish: Wish, key: str) -> object:
    match wish.how:
        case "refuse":
            raise Refuse("not here", code=1234)
        case "swallow":
            return SWALLOW
        case "change":
            return {"n": wish.n, "seen": True}
        case "slow":
            await asyncio.sleep(0.2)
        case "freeze its worker" if _is_first_of(key):
            os.kill(os.getppid(), signal.SIGSTOP)
        case "leak":
            _kept.append(bytearray(b"x") * _LEAKED_BYTES)
        case _:
            pass
    return None


# ---- calls, messages, and who has left


@app.rpc("double")
def double(call: Call[int]) -> int:
    """Answer at once."""
    return 2 * call.data


@app.rpc("whoami")
async def whoami(call: Call) -> dict[str, Any]:
    """Say who asks."""
    return {"user": call.user, "client": call.client, "info": call.conn_info}


@app.rpc("refuse")
def refuse(call: Call) -> None:
    """Never agree; the client is told a code of the team's own."""
    raise Refuse("not today", code=777)


@app.rpc("raise")
def fail(call: Call) -> None:
    """Fail each time."""
    raise NoSuchRoom("no such room")


@app.rpc("order")
async def order(call: Call[dict[str, Any]]) -> None:
    """Have every front do something with a user's sessions."""
    _carry_out(call, **call.data)


@app.send()
def take(message: Message[dict[str, Any]]) -> None:
    """Pass on what a client says to where it says."""
    data = message.data
    if "channel" in data:
        message.publish(data["channel"], {"from": message.user, "said": data["said"]})
    else:
        _carry_out(message, **data)


@app.disconnect()
def left(left: Left) -> None:
    """Tell the others in the channel that is called as the user."""
    left.publish(f"open:left-{left.user}", {"n": left.code, "why": left.reason})


def _carry_out(event: Acting, what: str, user: str, **rest: Any) -> None:
    match what:
        case "send":
            event.send(user, rest["data"], client=rest.get("client", ""))
        case "disconnect":
            event.disconnect(user, **rest)
        case "unsubscribe":
            event.unsubscribe(user, rest["channel"])
        case "subscribe":
            event.subscribe(user, rest["channel"], info=rest.get("info"), data=rest.get("data"))
        case "refresh":
            event.refresh(user, expire_at=rest["expire_at"])
        case "expire":
            event.expire(user)
        case _:
            raise AssertionError(what)


# ---- who may come in, and where


@app.connect()
async def connect(connect: Connect[dict[str, Any] | None]) -> Welcome | None:
    """Let in whom the data says."""
    wish = connect.data or {}
    _note("connect", client=connect.client, user=connect.user)
    match wish.get("how"):
        case "refuse":
            raise Refuse("closed today", code=778)
        case "disconnect":
            raise Disconnect(4501, "go away")
        case "hang":
            await _hang()
        case "raise":
            raise NoSuchRoom("no such room")
        case "welcome":
            return Welcome(
                user=wish["user"],
                info={"name": wish["user"].title()},
                data={"motd": "hello"},
                channels=wish.get("channels", ()),
            )
        case _:
            pass
    return None


@app.subscribe("asked:*")
async def subscribe(subscribe: Subscribe[dict[str, Any] | None]) -> Admission | None:
    """Let in as the channel's name says."""
    match subscribe.channel.rpartition("-")[2]:
        case "refuse":
            raise Refuse("members only", code=779)
        case "disconnect":
            raise Disconnect(4502, "not there")
        case "hang":
            await _hang()
        case "welcome":
            return Admission(info={"role": "guest"}, data={"topic": "boats"})
        case _:
            pass
    return None
