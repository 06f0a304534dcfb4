"""What a type checker says of a team's app: nothing if it is right, and where it is wrong."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from forebay.link import Ready
from tests.app.host import ROOT, host_of

RIGHT = """
from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import msgspec
from pydantic import BaseModel

from forebay import (
    SWALLOW,
    Admission,
    App,
    Call,
    Connect,
    Depends,
    Disconnect,
    Event,
    Left,
    Message,
    Publication,
    Refuse,
    State,
    Subscribe,
    Swallow,
    Welcome,
)


class Pool:
    async def fetch(self, query: str) -> list[str]:
        return [query]


@dataclass
class Resources:
    pool: Pool


@asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[Resources]:
    yield Resources(Pool())


app = App(lifespan=lifespan)


class Chat(msgspec.Struct):
    text: str


class Sum(TypedDict):
    numbers: list[int]


class Reading(BaseModel):
    celsius: float


def get_pool(state: State[Resources]) -> Pool:
    return state.pool


async def transaction(pool: Annotated[Pool, Depends(get_pool)], event: Event) -> AsyncIterator[str]:
    yield event.key


@app.on_startup
async def begin() -> None: ...


@app.on_shutdown
def end() -> None: ...


@app.publish("chat:*")
async def moderate(
    publication: Publication[Chat],
    pool: Annotated[Pool, Depends(get_pool)],
    key: Annotated[str, Depends(transaction)],
) -> Chat | Swallow | None:
    text: str = publication.data.text
    if await pool.fetch(text):
        raise Refuse("no links", code=600)
    if key:
        return SWALLOW
    publication.publish("audit:1", {"by": publication.user})
    publication.disconnect(publication.user, client=publication.client, code=4501)
    return Chat(text.upper())


@app.publish(namespace="sensors")
def measure(publication: Publication[Reading]) -> None:
    celsius: float = publication.data.celsius
    publication.send(publication.user, celsius)


@app.publish("log:*")
def log(publication: Publication) -> None:
    anything: Any = publication.data


@app.rpc("add")
def add(call: Call[Sum]) -> int:
    return sum(call.data["numbers"])


@app.send()
async def message(message: Message[str]) -> None:
    message.publish("inbox:1", message.data.upper())


@app.connect()
async def connect(connect: Connect[Chat | None]) -> Welcome | None:
    if connect.headers.get("x-banned"):
        raise Disconnect(4500, "banned")
    return Welcome(user="ada", channels=["news"])


@app.subscribe("room:*")
def subscribe(subscribe: Subscribe[Any]) -> Admission:
    return Admission(info={"name": subscribe.user}, expire_at=0)


@app.disconnect()
def left(left: Left, pool: Annotated[Pool, Depends(get_pool)]) -> None:
    code: int = left.code
"""

WRONG = """
from forebay import App, Call, Connect, Message, Publication, Refuse, Welcome

app = App()


@app.publish("a")
def of_another_kind(event: Call[str]) -> None: ...  # wrong


@app.publish("a")
def without_event() -> None: ...  # wrong


@app.publish("a")
def no_such_field(event: Publication[str]) -> None:
    event.data.nothing  # wrong
    event.publish("b")  # wrong
    event.data = "x"  # wrong


@app.send()
def answers(event: Message[str]) -> int:  # wrong
    return 1


@app.connect()
async def lets_in(event: Connect[str]) -> bool:  # wrong
    event.publish("b", 1)  # wrong
    return True


Refuse("no", code="600")  # wrong
Welcome("ada")  # wrong
app.rpc()  # wrong
"""


def errors_in(folder: Path, text: str, *, options: Sequence[str] = ()) -> dict[int, str]:
    """What mypy says, by line."""
    (folder / "myapp.py").write_text(text)
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file="),
            *("--cache-dir", str(ROOT / ".mypy_cache" / "users"), *options, "myapp.py"),
        ],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not checked.stderr
    found = re.findall(r"^(\S+):(\d+): error: (.*)$", checked.stdout, re.MULTILINE)
    assert {file for file, _, _ in found} <= {"myapp.py"}, checked.stdout
    return {int(line): words for _, line, words in found}


# The first run of mypy reads the standard library's types.
@pytest.mark.timeout(180)
def test_an_app_that_is_right_passes_strictly(tmp_path: Path) -> None:
    assert errors_in(tmp_path, RIGHT) == {}


def test_an_app_that_is_right_can_be_served(tmp_path: Path) -> None:
    with host_of(tmp_path, RIGHT) as host:
        assert isinstance(said := host.hear(), Ready), said
        assert len(said.handlers) == 8


# Which snippet of the page goes on with which others, by a name in each.
SNIPPETS: dict[str, list[str]] = {
    "moderate": [],
    "watch": ["moderate"],
    "check": [],
    "keep": ["check"],
    "connect": ["moderate"],
}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", SNIPPETS)
def test_what_the_docs_show_passes_strictly(tmp_path: Path, name: str) -> None:
    page = (ROOT / "docs" / "handlers.md").read_text("utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(snippets) == len(SNIPPETS)
    chosen = [
        next(snippet for snippet in snippets if f"async def {each}(" in snippet)
        for each in (*SNIPPETS[name], name)
    ]
    # No driver of a database is installed for the tests; Forebay needs none.
    text = "\n".join(chosen)
    assert errors_in(tmp_path, text, options=("--ignore-missing-imports",)) == {}


@pytest.mark.timeout(180)
def test_what_is_wrong_is_found_where_it_is_written(tmp_path: Path) -> None:
    wrong = {
        number for number, line in enumerate(WRONG.splitlines(), 1) if line.endswith("# wrong")
    }
    # A decorator refuses a function in its own line, which is the one above.
    found = {line if line in wrong else line + 1 for line in errors_in(tmp_path, WRONG)}
    assert found == wrong
