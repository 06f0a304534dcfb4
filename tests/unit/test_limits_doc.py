"""docs/limits.md says what the code does: its defaults are those of settings and constants."""

import importlib
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from services.config import load_config

PAGE = Path(__file__).parents[2] / "docs" / "limits.md"

UNITS = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "s": 1, "h": 3600}
NUMBER = re.compile(r"(\d[\d,]*(?:\.\d+)?)(?: (KiB|MiB|GiB|s|h)\b)?")

# Where the default of a limit without a setting is written, by the limit's name on the page.
CONSTANTS = {
    "commands in one frame": ("services.wire.json_codec.COMMANDS_A_FRAME",),
    "… of which one that is odd counts as": ("services.wire.json_codec.ODD_COUNTS_AS",),
    "runs of brackets in odd commands of one frame": ("services.wire.odd_json.RUNS_A_FRAME",),
    "members of an odd command": ("services.wire.odd_json.MEMBERS_AT_MOST",),
    "positions, or headers, in a connect in Protobuf": (
        "services.wire.protobuf_commands.MEMBERS_A_CONNECT",
    ),
    "nesting of a payload": ("services.wire.payload.DEEPEST_LEVELS",),
    "a channel's name": ("services.wire.channel.LONGEST_BYTES",),
    "orders to leave that are remembered, for those whom a handler was just asked about": (
        "services.front.leaving_orders.REMEMBERED_AT_MOST",
    ),
    "… and how many are awaited at once, of subscribes that came together": (
        "services.front.receiving._SUBSCRIBES_TOGETHER",
    ),
    "a handshake's line or header": ("services.front.listening._HEADER_BYTES_AT_MOST",),
    "headers of a handshake": ("services.front.listening._HEADERS_AT_MOST",),
    "bytes that wait in the kernel to be read": ("services.front.listening._RECEIVE_BYTES",),
    "bytes that wait in the kernel to be taken": ("services.front.listening._SEND_BYTES",),
    "time until a connection has asked something in whole": (
        "services.front.listening.IDLE_SECONDS",
    ),
    "time in which a client takes nothing of what waits for it": (
        "services.front.listening._UNTAKEN_SECONDS",
    ),
    "a token's `info`, and its `data`": ("services.auth.CLAIM_BYTES_AT_MOST",),
    "commands of one session in a turn of the loop": ("services.front.receiving._COMMANDS_A_TURN",),
    "entries waiting for their batch": ("broker.producer.WAITING_BYTES_AT_MOST",),
    "… and for how long": ("broker.producer.WAITING_SECONDS_AT_MOST",),
    "a batch": ("broker.departures.BATCH_ENTRIES_AT_MOST", "broker.departures.BATCH_BYTES_AT_MOST"),
    "batches in flight": ("broker.producer.IN_FLIGHT_AT_MOST",),
    "a publish without an outcome": ("broker.producer.ANSWER_SECONDS",),
    "… of those answered as queued, which go on waiting to hear of a refusal": (
        "broker.overdue.PATIENT_AT_MOST",
    ),
    "a presence, of each front and of all others together": (
        "services.front.presence_answers.LISTED_BYTES_AT_MOST",
        "services.front.presence_question.SUBJECT_BYTES_AT_MOST",
    ),
    "others' answers about presence, for half a second": (
        "services.front.presence.ALL_BYTES_AT_MOST",
    ),
    "an answer about presence": ("services.front.presence.ANSWER_SECONDS",),
    "presence questions to be answered": ("services.front.presence_answers.QUESTIONS_AT_MOST",),
    "a payload of which the change can be told": ("services.wire.fossil.SOURCE_BYTES_AT_MOST",),
    "joins and leaves of one turn of the loop": ("services.front.movements.NOTED_BYTES_AT_MOST",),
    "… on their way to clients here": ("services.front.movements.WAITING_BYTES_AT_MOST",),
    "what one poll is answered": ("services.front.parked.ANSWER_BYTES_AT_MOST",),
    "requests that another front has to answer": ("services.front.errands.UNDER_WAY_AT_MOST",),
    "an answer of another front to a request of `/emulation`": (
        "services.front.errands.ANSWER_SECONDS",
    ),
    "clients of `single_connection` that the bus has not told of yet": (
        "services.front.single.CLIENTS_AT_MOST",
        "services.front.single.BACK_SECONDS",
    ),
    "the name of a method (`rpc`)": ("services.front.calling.METHOD_BYTES_AT_MOST",),
    "… and its bytes, those of its `info` among them": (
        "services.hook_messages.ANSWER_BYTES_AT_MOST",
        "services.auth.CLAIM_BYTES_AT_MOST",
    ),
    "questions to connect and subscribe handlers under way": (
        "services.front.hooks.UNDER_WAY_AT_MOST",
    ),
    "subscriptions that were ordered and wait for their channel's log": (
        "services.front.ordering.LATE_AT_MOST",
    ),
    "questions of fronts to connect and subscribe handlers under way": (
        "services.worker.hooks.UNDER_WAY_AT_MOST",
    ),
    "answers to them that the broker does not take": (
        "services.worker.hooks.WAITING_BYTES_AT_MOST",
    ),
    "answers that the worker does not take": ("forebay.host.speaking.KEPT_BYTES_AT_MOST",),
    "names, of each kind, whose handler is remembered": ("forebay.app.REMEMBERED_AT_MOST",),
    "what is said of a failure, and where it was": (
        "forebay.host.failing.TEXT_CHARACTERS_AT_MOST",
        "forebay.host.failing.TRACE_BYTES_AT_MOST",
    ),
    "what a client is told by `Refuse`": ("forebay.outcome.TEXT_CHARACTERS_AT_MOST",),
    "messages to other processes": ("services.front.neighbours.QUEUE_BYTES_AT_MOST",),
    "publications held back for `conflate`, and those they are told against": (
        "services.front.conflation.HELD_BYTES_AT_MOST",
    ),
    "frames waiting for slices of huge channels": ("services.front.fanout.WAITING_BYTES_AT_MOST",),
    "records that have arrived and are not read yet": (
        "broker.rabbitmq.stream.PREFETCH",
        "services.worker.held.RECORD_BYTES_AT_MOST",
    ),
    "deliveries taken and not settled": ("services.worker.partition.PREFETCH",),
    "… where there are handlers": ("services.worker.partition.PREFETCH_WITH_HANDLERS",),
    "time for what handlers have been asked, when a partition is left": (
        "services.worker.partition.FINISHING_SECONDS",
    ),
    "entries that handlers look at, or that wait for it": ("services.worker.held.ASKED_AT_MOST",),
    "batches ahead of an earlier one of the same front, of which an entry is tried again": (
        "services.worker.held.AHEAD_AT_MOST",
    ),
    "what follows from records (entries, dead letters) and has no room in its queue, in memory": (
        "services.worker.sequels.WAITING_BYTES_AT_MOST",
    ),
    "… and left in the log": ("services.worker.sequels.LEFT_RECORDS_AT_MOST",),
    "what follows from one entry, with what its handler answers": (
        "forebay.link.ANSWER_BYTES_AT_MOST",
        "forebay.link.SIDES_AT_MOST",
    ),
    "entries under way in an app process, and their bytes beyond what its socket takes": (
        "services.worker.handling.lines.GIVEN_AT_MOST",
        "services.worker.handling.lines.GIVEN_BYTES_AT_ONCE",
    ),
    "… with questions to connect and subscribe handlers": ("forebay.link.TASKS_AT_MOST",),
    "time to end, for shutdown hooks and lifespans": (
        "services.worker.handling.process.STOP_SECONDS",
    ),
    "tries of an entry": (
        "services.worker.handling.interface.TRIES_AT_MOST",
        "services.worker.handling.interface.TRYING_SECONDS_AT_MOST",
    ),
    "a record": (
        "services.worker.held.RECORD_ENTRIES_AT_MOST",
        "services.worker.held.RECORD_BYTES_AT_MOST",
    ),
    "a record's confirm, and its way back then": (
        "services.worker.claim.CONFIRM_SECONDS",
        "services.worker.claim.UNREAD_SECONDS",
    ),
    "buckets of a namespace's `rate`, and of its `user_rate`": (
        "services.worker.rates.BUCKETS_AT_MOST",
    ),
    "a namespace's schema": ("services.schema_file.FILE_BYTES_AT_MOST",),
    "parts of a payload, in each of so many places, looked at for what does not fit a schema": (
        "services.worker.misfit.PARTS_AT_MOST",
        "services.worker.misfit.LEVELS_AT_MOST",
    ),
    "parts of a schema, each with those it refers to": (
        "services.worker.misfit.PARTS_READY_AT_MOST",
    ),
    "words about what does not fit": ("services.worker.misfit.SENTENCE_BYTES_AT_MOST",),
    "settled numbers a producer": ("services.view.settled.NUMBERS_KEPT",),
    "producers": ("services.view.settled.PRODUCERS_KEPT",),
    "keys of entries that were carried out": (
        "services.view.keys.KEYS_AT_MOST",
        "services.view.keys.KEPT_SECONDS",
    ),
    "reads of a dead letter that is left": ("broker.rabbitmq.topology._DELIVERY_LIMIT",),
    "a batch of replayed dead letters": (
        "services.letters.plan.BATCH_ENTRIES_AT_MOST",
        "services.letters.plan.BATCH_BYTES_AT_MOST",
    ),
    "… and its confirm": ("services.letters.replay._CONFIRM_SECONDS",),
    "a partition's snapshots": ("broker.rabbitmq.topology._TOPS_BYTES_AT_MOST",),
    "`dead`": ("broker.rabbitmq.topology.TopologyLimits.dead_max_bytes",),
    "a process's own queue": (
        "broker.rabbitmq.bus._QUEUE_MESSAGES_AT_MOST",
        "broker.rabbitmq.bus._QUEUE_BYTES_AT_MOST",
    ),
    "announcements on the bus": ("broker.registry.MESSAGE_BYTES_AT_MOST",),
    "… other messages": ("services.hook_messages.MESSAGE_BYTES",),
}

# Chosen for each namespace, and longest where a text is given: neither has a number for a default.
WITHOUT_DEFAULT = {
    "a channel's history",
    "a sentence told to plain clients, without what is put in",
    "what a namespace's schema says of a payload",
    "publications of a channel, and of a user in it",
}

# Settings that are no limits although they are numbers.
NO_LIMITS = {"insecure", "ping_interval"}


class Row(NamedTuple):
    """A line of one of the page's tables."""

    name: str
    default: str
    settings: tuple[str, ...]


def rows() -> list[Row]:
    found = []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and cells[0] != "limit":
            found.append(Row(cells[0], cells[1], tuple(re.findall(r"`([a-z_.]+)`", cells[3]))))
    return found


def numbers(text: str) -> list[float]:
    """The numbers in a default, in bytes and seconds; "none" is what 0 means."""
    if text == "none":
        return [0]
    return [
        float(number.replace(",", "")) * UNITS.get(unit, 1) for number, unit in NUMBER.findall(text)
    ]


def setting(name: str) -> Any:
    section, key = name.split(".")
    return getattr(getattr(load_config(environ={}), section), key)


def constant(place: str) -> Any:
    module, _, rest = place.rpartition(".")
    try:
        return getattr(importlib.import_module(module), rest)
    except ModuleNotFoundError:
        owner = constant(module)
        return getattr(owner() if isinstance(owner, type) else owner, rest)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_a_limit_is_as_the_page_says(row: Row) -> None:
    if row.name in WITHOUT_DEFAULT:
        return
    if row.settings:
        expected = [setting(name) for name in row.settings]
    else:
        assert row.name in CONSTANTS, f"say in this file where {row.name!r} is written"
        expected = [constant(place) for place in CONSTANTS[row.name]]
    assert numbers(row.default) == expected


def test_every_constant_named_here_is_on_the_page() -> None:
    assert CONSTANTS.keys() | WITHOUT_DEFAULT <= {row.name for row in rows()}


def test_every_number_a_session_is_held_to_is_on_the_page() -> None:
    told = {name for row in rows() for name in row.settings}
    client = load_config(environ={}).client
    wanted = {
        f"client.{name}"
        for name, value in client
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in NO_LIMITS
    }
    assert wanted <= told
