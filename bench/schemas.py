"""What a schema and rates cost a worker: `python -m bench.schemas`.

Deciding what becomes of one publication of 185 bytes, in namespaces that differ in what they ask of
it alone; CPU time of this process, the best of several rounds, taken by turns. Then refusals, and
the payloads of 64 KiB that take longest. Exit code 1 if a schema costs more than it may, or a
hostile payload takes longer.
"""

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

import orjson
from msgspec import Raw

from broker.batch import Entry, EntryKind
from broker.partition import Partition
from services.schema_file import SchemaFile
from services.settings import Config, LaneConfig, NamespaceConfig
from services.units import Rate
from services.worker.deciding import Deciding

SCHEMA_MICROSECONDS = 1.0
"""What a schema may add to a publication of 185 bytes."""
HOSTILE_SECONDS = 0.1
"""What one refusal of 64 KiB may take."""

ENTRIES = 20_000
ROUNDS = 15
PAYLOAD_BYTES = 185
HOSTILE_BYTES = 65_536

SENDER = Raw(b'{"user":"ada","client":"0c6f1f0a-7d3e-4f0e-9a55-6f1c8d1d2b11"}')
MAIN = Partition("main", 0)
NEVER_REACHED = Rate(1_000_000, 1)

CHAT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["id", "kind", "text"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9a-f-]{36}$"},
        "kind": {"enum": ["text", "image"]},
        "at": {"type": "integer", "minimum": 0},
        "text": {"type": "string", "minLength": 1, "maxLength": 500},
        "tags": {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 20}},
        "reply_to": {"type": ["integer", "null"]},
    },
}
_BRANCH = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
HOSTILE: Mapping[str, tuple[Any, Any]] = {
    "objects within each other, a tree of alternatives": (
        {"anyOf": [_BRANCH, _BRANCH]},
        {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}}, "x": "x" * 65_000},
    ),
    "items, of which the last is wrong": (
        {"items": {"type": "array", "items": {"type": "integer"}}},
        [[n % 10] for n in range(16_000)] + [["x"]],
    ),
    "items of alternatives": (
        {"items": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
        [None] * 13_000 + [1],
    ),
    "many properties that are not allowed": (
        {"patternProperties": {"^a": {}, "^b": {}}, "additionalProperties": False},
        {f"a{n}": n for n in range(4_500)} | {"z": 1},
    ),
    "items that must differ": ({"uniqueItems": True}, [*range(12_000), 0]),
    "objects that must differ": (
        {"uniqueItems": True},
        [{"a": n} for n in range(5_500)] + [1, 1],
    ),
    "a text for nested repetitions": ({"pattern": "^(a|aa)+$"}, "a" * 65_000 + "!"),
    "a text for a long repetition": ({"pattern": "(.{0,500}x)+y"}, "a" * 65_000),
    "numbers for a fraction": ({"items": {"multipleOf": 0.01}}, [1e308] * 8_000 + [0.001]),
}


def config(schema: Any = None, **options: Any) -> Config:
    """A namespace that asks this of what is published."""
    file = None if schema is None else SchemaFile("bench", json.dumps(schema).encode())
    return Config(
        lanes={"main": LaneConfig(partitions=1)},
        namespace=(NamespaceConfig(name="chat", schema=file, **options),),
    )


def message(text: str = "") -> bytes:
    """A chat's message of the size that is measured, or with another text."""
    made = {
        "id": "0c6f1f0a-7d3e-4f0e-9a55-6f1c8d1d2b11",
        "kind": "text",
        "at": 1_700_000_000_123,
        "text": text,
        "tags": ["hello", "morning"],
        "reply_to": None,
    }
    made["text"] = text or "x" * (PAYLOAD_BYTES - len(orjson.dumps(made)))
    return orjson.dumps(made)


class Case:
    """One namespace, one payload, and the best round so far."""

    def __init__(self, name: str, settings: Config, payload: bytes) -> None:
        self.name = name
        self.microseconds = float("inf")
        self._entry = Entry(EntryKind.PUBLISH, "chat:1", SENDER, payload)
        self._decide = Deciding(settings).decide

    def run(self, entries: int) -> None:
        """Decide so often; remember the best."""
        decide, entry = self._decide, self._entry
        decide(entry, MAIN)
        before = time.process_time()
        for _ in range(entries):
            decide(entry, MAIN)
        took = (time.process_time() - before) / entries * 1e6
        self.microseconds = min(self.microseconds, took)


def compare() -> bool:
    """Print what each namespace costs; say whether a schema costs no more than it may."""
    fitting = message()
    assert len(fitting) == PAYLOAD_BYTES
    plain = Case("JSON alone", config(), fitting)
    binary = Case("any bytes", config(data="binary"), fitting)
    schema = Case("a schema", config(CHAT), fitting)
    cases = [
        binary,
        plain,
        schema,
        Case("rate", config(rate=NEVER_REACHED), fitting),
        Case("user_rate", config(user_rate=NEVER_REACHED), fitting),
        Case("refused by the schema", config(CHAT), message("x" * 501)),
        Case("refused by rate", config(rate=Rate(1, 3600)), fitting),
    ]
    for _ in range(ROUNDS):
        for case in cases:
            case.run(ENTRIES)
    print(f"{'185 bytes':<24} {'µs':>7} {'of JSON alone':>14}")
    for case in cases:
        share = case.microseconds / plain.microseconds
        print(f"{case.name:<24} {case.microseconds:>7.2f} {share:>13.2f}x")
    added = schema.microseconds - plain.microseconds
    print(
        f"a schema adds {added:.2f} µs; parsing and it together"
        f" {schema.microseconds - binary.microseconds:.2f} µs"
    )
    return added <= SCHEMA_MICROSECONDS


def torment() -> bool:
    """Print what hostile payloads take; say whether none takes longer than it may."""
    is_quick = True
    print(f"\n{'64 KiB':<50} {'parsed':>9} {'refused':>9}")
    for name, (schema, value) in HOSTILE.items():
        payload = orjson.dumps(value)
        assert len(payload) <= HOSTILE_BYTES, name
        parsed, refused = (Case(name, config(each), payload) for each in (None, schema))
        for _ in range(5):
            parsed.run(1)
            refused.run(1)
        is_quick = is_quick and refused.microseconds <= HOSTILE_SECONDS * 1e6
        print(
            f"{name:<50} {parsed.microseconds / 1e3:>6.2f} ms {refused.microseconds / 1e3:>6.2f} ms"
        )
    return is_quick


def main() -> int:
    """Run it; give the exit code."""
    is_cheap = compare()
    return 0 if torment() and is_cheap else 1


if __name__ == "__main__":
    sys.exit(main())
