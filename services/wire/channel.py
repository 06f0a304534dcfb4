"""The grammar of channel names: `ns:rest`, `$private`, `ns:thread#user,user`.

Rules
- Every name a client or a backend gives passes `parse_channel` before it is used for anything.
- The namespace is a name only; whether it exists, and what it allows, is the configuration's
  matter.

Not here: permissions, partitions.
"""

from __future__ import annotations

import msgspec

from services.wire.errors import ErrorCode, Refusal

LONGEST_BYTES = 255

PRIVATE_PREFIX = "$"
NAMESPACE_BOUNDARY = ":"
USER_BOUNDARY = "#"
USER_SEPARATOR = ","


class Channel(msgspec.Struct, frozen=True, gc=False):
    """A legal channel name and its parts.

    `namespace` is empty for a name without one; `users` is None unless the name limits who may
    follow it.
    """

    name: str
    namespace: str
    is_private: bool
    users: tuple[str, ...] | None

    def admits(self, user: str) -> bool:
        """Whether the name itself lets this user in."""
        return self.users is None or user in self.users


def parse_channel(name: str) -> Channel:
    """The parts of a channel name.

    Raises:
        Refusal: the name is not 1 to 255 printable ASCII characters.
    """
    if not (0 < len(name) <= LONGEST_BYTES and name.isascii() and name.isprintable()):
        raise Refusal(
            ErrorCode.BAD_REQUEST.explained(
                f"a channel name is 1 to {LONGEST_BYTES} printable ASCII characters"
            )
        )
    is_private = name.startswith(PRIVATE_PREFIX)
    namespace, boundary, _ = name.removeprefix(PRIVATE_PREFIX).partition(NAMESPACE_BOUNDARY)
    users = None
    if USER_BOUNDARY in name:
        users = tuple(name.rpartition(USER_BOUNDARY)[2].split(USER_SEPARATOR))
    return Channel(name, namespace if boundary else "", is_private, users)
