"""Strategies for what batches and records are made of, and for what they are not."""

from hypothesis import strategies as st
from msgspec import Raw, json

from broker.batch import Entry, EntryKind
from broker.record import Done, Ordered, Outcome, Outcomes, Published, Refused, Replied

# Surrogates cannot be sent as UTF-8, so no decoded frame has any.
texts = st.text(st.characters(codec="utf-8"), max_size=20)
payloads = st.binary(max_size=60) | st.sampled_from(
    [b"", b"\n", b"\n\n", b'{"a":\n1}', b"\xff\x00"]
)
senders = st.sampled_from([b"null", b'{"user":"42","client":"x"}', b'{"user":"\\n"}']).map(Raw)
numbers = st.integers(0, 2**53)

entries = st.builds(Entry, st.sampled_from(EntryKind), texts, senders, payloads, texts)
entry_lists = st.lists(entries, max_size=6)


def published(payload: bytes) -> st.SearchStrategy[tuple[Outcome, list[bytes]]]:
    outcome = st.builds(Published, texts, numbers, numbers, st.just(len(payload)), senders, texts)
    return outcome.map(lambda made: (made, [payload]))


def without_payload(outcome: Outcome) -> tuple[Outcome, list[bytes]]:
    return outcome, []


outcomes = (
    payloads.flatmap(published)
    | st.builds(Done).map(without_payload)
    | st.builds(Refused, st.integers(100, 4999), texts).map(without_payload)
    | st.builds(Replied, payloads).map(without_payload)
    | st.builds(Ordered, payloads).map(without_payload)
)


@st.composite
def settled_parts(draw: st.DrawFn) -> tuple[list[Outcomes], list[bytes]]:
    """Outcomes of some batches, and the payloads of what they published."""
    batches: list[Outcomes] = []
    following: list[bytes] = []
    for _ in range(draw(st.integers(0, 3))):
        decided = draw(st.lists(outcomes, max_size=4))
        following += [payload for _, some in decided for payload in some]
        batches.append(
            Outcomes(
                draw(texts),
                draw(numbers),
                draw(numbers),
                draw(numbers),
                [outcome for outcome, _ in decided],
            )
        )
    return batches, following


@st.composite
def mutated(draw: st.DrawFn, bodies: st.SearchStrategy[bytes]) -> bytes:
    """A body with some of it removed, replaced, repeated or inserted."""
    body = draw(bodies)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(len(body), start + 8)))
        inserted = draw(st.binary(max_size=4) | st.sampled_from(INTERESTING) | st.just(body[:end]))
        body = body[:start] + inserted + body[end:]
    return body


INTERESTING = [
    *(b"-1", b"1e9", b"1e999", b"99999999999999999999999", b"null", b"true", b'"', b"\\ud800"),
    *(b"\n", b"[", b"]", b"{}", b",", b"[" * 3000, b"\xff", b"\x00", b"\\u0000"),
]

nonsense = (
    st.binary(max_size=200)
    | st.lists(st.sampled_from(INTERESTING), max_size=12).map(b"".join)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | texts | st.just("batch") | st.just("settled"),
        lambda inner: st.lists(inner, max_size=8) | st.dictionaries(texts, inner, max_size=3),
    ).map(json.encode)
)
