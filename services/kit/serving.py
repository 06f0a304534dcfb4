"""A test's server as its process runs it: one world after the other, until the test run ends.

Rules
- What the test got wrong is answered in sentences; what we got wrong with its traceback.
- The settings are what the test says: not this machine's variables, nor a file that lies around.
"""

import asyncio
import os
import signal
import socket
import traceback
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from forebay.testing.control import (
    Advance,
    Answer,
    Begin,
    Broke,
    CannotDo,
    Close,
    End,
    LookAtDead,
    MakeToken,
    Open,
    Request,
    Rested,
    Say,
)
from services.auth import TokenInvalid
from services.config import ConfigError, load_config
from services.development import DEVELOPMENT
from services.kit.clock import KitClock
from services.kit.control import Control
from services.kit.loop import KitLoop
from services.kit.rest import Rest
from services.kit.world import World, opening
from services.settings import Config

# Where the settings name no key, so that there are users all the same.
_OWN_KEY: Final = {
    "client": {"token": {"hmac_secret_key": "known to the test kit and nobody else"}}
}

_NO_FILE: Final = Path(os.devnull)

_END_SECONDS: Final = 3


async def serve(connection: socket.socket, clock: KitClock, rest: Rest) -> None:
    """Serve one world after the other, until the other end of the connection is closed.

    Cancelling: as if it was closed; what is under way is dropped.
    """
    serving = asyncio.current_task()

    def end() -> None:
        # In the kernel's time, for what waits for a clock that nobody turns any more.
        signal.alarm(_END_SECONDS)
        if serving is not None:
            serving.cancel()

    with closing(Control(connection, end)) as control:
        while True:
            request = await control.next()
            if isinstance(request, Begin):
                clock.set_to_now()
                await _serve_world(request, control, rest)
            else:
                await control.answer(CannotDo(["there is no server: it has ended"]))


async def _serve_world(begin: Begin, control: Control, rest: Rest) -> None:
    end = control.take_socket() if begin.has_app else None
    try:
        config = _load(begin)
    except ConfigError as error:
        if end is not None:
            end.close()
        await control.answer(CannotDo(list(error.problems)))
        return
    try:
        async with opening(config, end, rest) as world:
            await control.answer(world.news(Rested(0.0)))
            await _serve_requests(world, control)
    except Exception:  # noqa: BLE001  (the supervisor of one test's server)
        await control.answer(Broke(traceback.format_exc()))
        return
    await control.answer(Rested(0.0))


async def _serve_requests(world: World, control: Control) -> None:
    while not isinstance(request := await control.next(), End):
        try:
            answer = await _carry_out(world, request)
        except TokenInvalid as error:
            answer = CannotDo([error.why])
        await control.answer(answer)


async def _carry_out(world: World, request: Request) -> Answer:
    """Do what a test asks, and tell what came of it once everything has come to rest.

    Raises:
        TokenInvalid: there is no key to sign one with.
    """
    news, pass_seconds = Rested(0.0), 0.0
    match request:
        case Begin() | End():
            return CannotDo(["there is a server already"])
        case Advance():
            pass_seconds = request.seconds
        case MakeToken():
            news = msgspec.structs.replace(news, token=_make_token(world, request))
        case LookAtDead():
            news = msgspec.structs.replace(news, dead=world.dead())
        case Open():
            world.open_client(request.client, request.headers, is_binary=request.is_binary)
        case Say():
            world.say(request.client, request.command)
        case Close():
            world.close_client(request.client)
    await world.come_to_rest(pass_seconds)
    return world.news(news)


def _make_token(world: World, request: MakeToken) -> str:
    info = msgspec.json.decode(request.info) if request.info else None
    return world.make_token(request.user, request.channel, info, request.expires_in_seconds)


def _load(begin: Begin) -> Config:
    # What is named without a folder is meant from where the test is.
    os.chdir(begin.folder)
    defaults = _merged(_OWN_KEY, DEVELOPMENT if begin.is_open else {})
    path = Path(begin.path) if begin.path else _NO_FILE
    return load_config(path, {}, defaults=_merged(defaults, begin.settings))


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Tables merged, key by key; anything else of `over` takes the other's place."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            value = _merged(below, value)
        merged[key] = value
    return merged


def run(connection: socket.socket, clock: KitClock) -> None:
    """Serve, on a loop of the clock's, until the other end of the connection is closed."""
    rest = Rest(clock)
    with (
        suppress(asyncio.CancelledError),
        asyncio.Runner(loop_factory=lambda: KitLoop(clock, rest.look)) as runner,
    ):
        runner.run(serve(connection, clock, rest))
