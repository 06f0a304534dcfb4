"""Apps, as a team writes them, and what a worker asks them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.settings import AppConfig
from services.worker.counting import WorkerCounters
from services.worker.handling.crew import Crew, open_handling
from services.worker.handling.interface import Handled, Kind, Question, Verdict

WAIT_SECONDS = 50.0

PASSING = """
from forebay import App

app = App()

@app.publish("*")
def look(publication):
    pass
"""

# What it does is what the channel is called; the last handler is the others'.
EVIL = """
import asyncio, ctypes, os, signal, subprocess, sys, time
from forebay import SWALLOW, App

app = App()
SOCKET = int(sys.argv[sys.argv.index("--socket-fd") + 1])
kept = []

@app.publish("raises")
def raises(publication):
    raise KeyError("no such room")

@app.publish("raises, waiting")
async def raises_later(publication):
    await asyncio.sleep(0.01)
    raise KeyError("no such room")

@app.publish("waits for ever")
async def waits(publication):
    await asyncio.sleep(3600)

@app.publish("blocks for ever")
def blocks(publication):
    time.sleep(3600)

@app.publish("exits")
def exits(publication):
    os._exit(7)

@app.publish("exits, waiting")
async def exits_later(publication):
    await asyncio.sleep(0.01)
    os._exit(7)

@app.publish("asks to exit")
def asks_to_exit(publication):
    sys.exit(7)

@app.publish("kills itself")
def kills(publication):
    os.kill(os.getpid(), signal.SIGKILL)

@app.publish("segfaults")
def segfaults(publication):
    ctypes.string_at(0)

@app.publish("takes all memory")
async def takes(publication):
    kept.append(bytearray(os.urandom(1) * 150_000_000))
    await asyncio.sleep(3600)

@app.publish("leaks")
def leaks(publication):
    kept.append(bytearray(os.urandom(1) * 40_000_000))

@app.publish("returns nonsense")
def returns_nonsense(publication):
    return object()

@app.publish("says nonsense")
def says_nonsense(publication):
    os.write(SOCKET, b"hello, world, this is no message")

@app.publish("says what it was not asked")
def answers_twice(publication):
    os.write(SOCKET, bytes([0, 0, 0, 5, 0x93, 3, 0x91, 99, 0x90]))

@app.publish("closes its socket")
def closes(publication):
    os.close(SOCKET)

@app.publish("shuts its socket down")
def shuts_down(publication):
    import socket
    socket.socket(fileno=os.dup(SOCKET)).shutdown(socket.SHUT_RDWR)

@app.publish("spawns")
def spawns(publication):
    print("children:", subprocess.Popen(["sleep", "3600"]).pid, file=sys.stderr)
    if os.fork() == 0:
        time.sleep(3600)

@app.publish("prints")
def prints(publication):
    print("x" * 1_000_000)
    print("x" * 1_000_000, file=sys.stderr)
    sys.stdout.close()

@app.publish("waits:*")
async def waits_a_little(publication):
    await asyncio.sleep(0.05)

@app.publish("*")
def look(publication):
    pass

@app.subscribe("*")
def may(subscribe):
    if subscribe.channel == "exits":
        os._exit(7)
    if subscribe.channel == "blocks":
        time.sleep(3600)
"""


# Now and then the first try of an entry ends the process that all are in.
CRASHING = """
import asyncio, os, random
from forebay import App

app = App()

def crash_now_and_then(publication):
    if int(publication.key) % 75 in (7, 30) and publication.attempt == 1:
        os._exit(1)

@app.publish("waits:*")
async def waits(publication):
    await asyncio.sleep(random.uniform(0, 0.02))
    crash_now_and_then(publication)

@app.publish("*")
def look(publication):
    crash_now_and_then(publication)
"""


class Asking:
    """What was asked of handlers, and what was heard."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.asked: list[str] = []
        self.heard: list[tuple[str, Handled]] = []
        self._news = asyncio.Event()

    def ask(self, channel: str, key: str = "") -> None:
        """Ask about a publication."""
        key = key or f"{channel} {len(self.asked)}"
        self.asked.append(key)

        def hear(handled: Handled) -> None:
            self.heard.append((key, handled))
            self._news.set()

        self.crew.ask(self, Question(Kind.PUBLISH, channel, channel, b"null", b"{}", key), hear)

    async def all_heard(self) -> dict[str, Handled]:
        """Wait until each has been heard; fail if one is heard again."""
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.heard) < len(self.asked):
                self._news.clear()
                await self._news.wait()
        assert Counter(self.asked) == Counter(key for key, _ in self.heard)
        return dict(self.heard)


@asynccontextmanager
async def running_app(
    folder: Path, source: str, *, counters: WorkerCounters | None = None, **settings: object
) -> AsyncIterator[Crew]:
    """Run an app whose source lies in a folder, which is the working folder."""
    (folder / "team.py").write_text(source)
    config = AppConfig.model_validate({"path": "team:app", "timeout": 0.3, **settings})
    async with open_handling(config, counters or WorkerCounters()) as handling:
        assert isinstance(handling, Crew)
        yield handling


def subscribing(channel: str, client: str = "client") -> Question:
    """What a hook is asked."""
    data = f'{{"channel":"{channel}"}}'.encode()
    return Question(Kind.SUBSCRIBE, client, channel, b"null", data, "")


def verdicts(heard: dict[str, Handled]) -> set[Verdict]:
    """Which there are."""
    return {handled.verdict for handled in heard.values()}
