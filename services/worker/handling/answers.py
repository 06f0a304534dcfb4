"""Whether an app process's answer can be meant.

A host checks what handlers return; this is for what a team's code makes of its host.

Not here: what an answer's data and sequels may be in a channel (`services.worker.concluding`), and
what a front may be told of a connect.
"""

from typing import Final

from forebay.link import ANSWER_BYTES_AT_MOST, SIDES_AT_MOST, Answer
from services.wire.payload import validate_payload
from services.worker.handling.interface import Kind, Verdict

_FITTING: Final = {
    Kind.PUBLISH: {Verdict.PASSED, Verdict.CHANGED, Verdict.SWALLOWED, Verdict.REFUSED},
    Kind.RPC: {Verdict.REPLIED, Verdict.REFUSED},
    Kind.SEND: {Verdict.PASSED, Verdict.SWALLOWED, Verdict.REFUSED},
    Kind.DISCONNECT: {Verdict.PASSED, Verdict.SWALLOWED, Verdict.REFUSED},
    Kind.CONNECT: {Verdict.PASSED, Verdict.REPLIED, Verdict.REFUSED},
    Kind.SUBSCRIBE: {Verdict.PASSED, Verdict.REPLIED, Verdict.REFUSED},
}

# The protocol's own errors; of ours, what a handler refuses without a code of its own and data that
# does not fit its type; and the team's.
_ERRORS: Final = (range(100, 114), range(401, 403), range(500, 2000))
# A hook may end the session too.
_DISCONNECTS: Final = range(3000, 5000)
_HOOKS: Final = (Kind.CONNECT, Kind.SUBSCRIBE)


def find_nonsense(kind: Kind, answer: Answer) -> str:
    """Say what is wrong with an answer that is neither FAILED nor UNSTARTED; empty if nothing."""
    if answer.verdict not in _FITTING[kind]:
        return f"{answer.verdict.name.lower()} is no answer to a {kind.name.lower()}"
    if answer.verdict is Verdict.REFUSED and not _is_code(kind, answer.code):
        return f"{answer.code} is no code that it may refuse with"
    if answer.verdict is Verdict.REPLIED and not _is_json(answer.data):
        return "its reply is no JSON"
    if len(answer.sides) > SIDES_AT_MOST:
        return f"more than {SIDES_AT_MOST} things are to be done besides"
    if _size_bytes(answer) > ANSWER_BYTES_AT_MOST:
        return f"more than {ANSWER_BYTES_AT_MOST} bytes"
    return ""


def _is_code(kind: Kind, code: int) -> bool:
    return any(code in codes for codes in _ERRORS) or (kind in _HOOKS and code in _DISCONNECTS)


def _is_json(data: bytes) -> bool:
    return validate_payload(data) is None


def _size_bytes(answer: Answer) -> int:
    return len(answer.data) + len(answer.text) + sum(len(side.data) for side in answer.sides)
