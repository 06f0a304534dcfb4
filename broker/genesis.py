"""The first record of a new log, and of a new snapshot stream.

A stream that holds nothing has no end to ask for, and a log without a Fence says neither its
epoch nor its lane's size. So whoever makes a stream writes one record into it at once.

Rules: the genesis Fence is marked as a cut, so that a log made anew begins a new epoch by itself.
"""

import secrets

from broker.batch import FORMAT_VERSION
from broker.record import Fence, encode_fence

GENESIS_WRITER = "topology"
"""Who a genesis Fence names; no process has this id, so nothing appended on it ever counts."""

# Clients get the epoch with every reply, so it is short. 32 bits: it only has to differ from the
# epochs this one log had before, which are a handful in its life.
_EPOCH_BYTES = 4
_NONCE_BYTES = 8

_GENESIS_SNAPSHOT = b'["genesis",1]'


def genesis_fence(partitions: int, wall_seconds: int) -> bytes:
    """Write the first record of a log whose lane has this many partitions; each has its epoch."""
    return encode_fence(
        Fence(
            version=FORMAT_VERSION,
            writer=GENESIS_WRITER,
            nonce=secrets.token_hex(_NONCE_BYTES),
            epoch=secrets.token_hex(_EPOCH_BYTES),
            partitions=partitions,
            wall_seconds=wall_seconds,
            cut=True,
        )
    )


def genesis_snapshot() -> bytes:
    """Write the first record of a snapshot stream: a marker that is no snapshot."""
    return _GENESIS_SNAPSHOT
