"""Which keys entries were carried out with, not long ago.

Who cannot know whether an entry was carried out offers it again with the same key, and it is
carried out once. So a dead letter is done again, and a backend may repeat a publish.

Rules
- A key belongs to its channel: the same one in another channel is another.
- Kept for `KEPT_SECONDS` of log time, and the last `KEYS_AT_MOST` of a partition; the oldest are
  forgotten first, and what comes with a forgotten key is carried out again.
- Kept over a new epoch of the log: what was published before it has been delivered all the same.
- Only a digest is kept, so that a long key costs as much as a short one.
"""

from collections import OrderedDict
from collections.abc import Iterator
from hashlib import blake2b

KEPT_SECONDS = 3600
"""Who tries again does so within minutes; a person who starts a command again, within the hour."""

# A key costs 133 bytes, so all of them 9 MB a partition, in each process that reads its log. What
# is tried again is what was under way when somebody died: some thousands.
KEYS_AT_MOST = 65_536

_DIGEST_BYTES = 12
_ROWS_A_STEP = 2_000

Row = tuple[str, int]
"""A key as a snapshot keeps it: its digest in hexadecimal, and the log's time when it was used."""


class KnownKeys:
    """The keys of one partition."""

    __slots__ = ("_keys",)

    def __init__(self) -> None:
        self._keys: OrderedDict[bytes, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, channel: str, key: str, log_seconds: int) -> None:
        """Take note of a key with which a record that counts carried something out."""
        keys = self._keys
        digest = _digest(channel, key)
        keys[digest] = log_seconds
        keys.move_to_end(digest)
        if len(keys) > KEYS_AT_MOST:
            keys.popitem(last=False)

    def has(self, channel: str, key: str) -> bool:
        """Tell whether something was carried out in this channel with this key."""
        return bool(self._keys) and _digest(channel, key) in self._keys

    def forget_old(self, log_seconds: int) -> None:
        """Forget what is older than is kept; at each Fence, which is when log time moves."""
        oldest = log_seconds - KEPT_SECONDS
        while self._keys:
            digest, seconds = next(iter(self._keys.items()))
            if seconds >= oldest:
                break
            del self._keys[digest]

    def rows(self) -> list[Row]:
        """Give what a snapshot keeps, oldest first."""
        return [(digest.hex(), seconds) for digest, seconds in self._keys.items()]

    def restoring(self, rows: list[Row]) -> Iterator[None]:
        """Take a snapshot's keys in place of those that are known, in short steps.

        Raises:
            ValueError: a digest is no hexadecimal number.
        """
        keys = self._keys = OrderedDict()
        for start in range(0, len(rows), _ROWS_A_STEP):
            keys.update((bytes.fromhex(d), s) for d, s in rows[start : start + _ROWS_A_STEP])
            yield


def _digest(channel: str, key: str) -> bytes:
    # No channel has a line break in its name.
    return blake2b(f"{channel}\n{key}".encode(), digest_size=_DIGEST_BYTES).digest()
