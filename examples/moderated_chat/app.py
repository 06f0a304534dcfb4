"""A chat with a moderator: what is said is checked, cleaned or refused before anybody reads it."""

import hmac
import math
import os
import re
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec
from forebay import (
    App,
    Call,
    Connect,
    Depends,
    Disconnect,
    Event,
    Publication,
    Refuse,
    State,
    Welcome,
)

ROOM = "chat:lobby"

# Codes of this app's own, so that a page need not compare words.
MUTED, EMPTY, SPAM, WRONG_KEY = 600, 601, 602, 603
REMOVED = 4501  # a client's SDK does not come back from 4500 on

SPAM_WORDS = re.compile(r"\b(spam|free money|click here)\b", re.IGNORECASE)
RUDE_WORDS = re.compile(r"\b(darn|heck)\b", re.IGNORECASE)

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=20, pattern=r"^\w+$")]


class Hello(msgspec.Struct):
    """What a client sends when it connects."""

    name: Name
    key: str = ""


class Line(msgspec.Struct):
    """What is said in the chat."""

    text: Annotated[str, msgspec.Meta(max_length=300)]


class Sentence(msgspec.Struct):
    """Who is to be quiet, or out, and for how long."""

    user: Name
    minutes: Annotated[int, msgspec.Meta(ge=1, le=1_440)] = 5


class Book:
    """Who is to be quiet, or out, and until when: in a file, which all app processes share."""

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS sentences"
            " (user TEXT, what TEXT, until REAL, PRIMARY KEY (user, what))"
        )

    def write(self, what: str, sentence: Sentence) -> None:
        """Begin a sentence, or begin it anew."""
        until = now() + 60 * sentence.minutes
        self._db.execute("REPLACE INTO sentences VALUES (?, ?, ?)", (sentence.user, what, until))

    def minutes_left(self, what: str, user: str) -> int:
        """How long it lasts; 0 if there is none."""
        row = self._db.execute(
            "SELECT until FROM sentences WHERE user = ? AND what = ?", (user, what)
        ).fetchone()
        return max(0, math.ceil((row[0] - now()) / 60)) if row else 0

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()


def now() -> float:
    """Unix seconds; tests have a clock of their own."""
    return time.time()


@asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[Book]:
    """Open the book before the first handler is called, and close it after the last."""
    book = Book(os.environ.get("CHAT_BOOK", "chat.db"))
    try:
        yield book
    finally:
        book.close()


app = App(lifespan=lifespan)


@app.connect()
def let_in(connect: Connect[Hello], book: State[Book]) -> Welcome:
    """Let everybody in by the name they say, and as a moderator who knows the key."""
    hello = connect.data
    if book.minutes_left("removed", hello.name):
        raise Disconnect(REMOVED, "removed by a moderator")
    key = os.environ.get("CHAT_MODERATOR_KEY", "")
    if hello.key and not hmac.compare_digest(hello.key.encode(), key.encode()):
        raise Refuse("this is not the moderator's key", code=WRONG_KEY)
    return Welcome(user=hello.name, info={"moderator": bool(hello.key)})


@app.publish("chat:*")
def moderate(publication: Publication[Line], book: State[Book]) -> Line:
    """Refuse who is muted and what is spam, and publish the rest cleaned."""
    if minutes := book.minutes_left("muted", publication.user):
        raise Refuse(f"muted, for {minutes} min", code=MUTED)
    text = " ".join(publication.data.text.split())
    if not text:
        raise Refuse("say something", code=EMPTY)
    if SPAM_WORDS.search(text):
        raise Refuse("no spam", code=SPAM)
    return Line(RUDE_WORDS.sub(lambda rude: "*" * len(rude[0]), text))


def only_moderators(event: Event) -> str:
    """Give the moderator's name."""
    if not (event.conn_info or {}).get("moderator"):
        raise Refuse(code=103)  # permission denied
    return event.user


Moderator = Annotated[str, Depends(only_moderators)]


@app.rpc("mute")
def mute(call: Call[Sentence], moderator: Moderator, book: State[Book]) -> None:
    """Let somebody read, and say nothing for a while."""
    sentence = call.data
    book.write("muted", sentence)
    call.send(sentence.user, {"notice": f"you are muted, for {sentence.minutes} min"})
    call.publish(ROOM, Line(f"{sentence.user} was muted by {moderator}"))


@app.rpc("remove")
def remove(call: Call[Sentence], moderator: Moderator, book: State[Book]) -> None:
    """End somebody's sessions, and let them not come back for a while."""
    sentence = call.data
    book.write("removed", sentence)
    call.disconnect(sentence.user, code=REMOVED, reason="removed by a moderator")
    call.publish(ROOM, Line(f"{sentence.user} was removed by {moderator}"))
