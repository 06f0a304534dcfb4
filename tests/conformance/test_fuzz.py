"""Mutated frames yield commands or protocol errors, nothing else. `python -m bench.decode` reads a
million of them.
"""

from collections.abc import Callable, Iterator

import pytest

from services.wire import json_codec, protobuf_commands
from tests.conformance.fuzzing import Decode, read
from tests.conformance.mutator import (
    mutated_frames,
    mutated_protobuf_frames,
    protobuf_seeds,
    seeds,
)

FRAMES = 100_000


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("frames", "decode"),
    [
        (mutated_frames, json_codec.decode_frame),
        (mutated_protobuf_frames, protobuf_commands.decode_frame),
    ],
    ids=["json", "protobuf"],
)
def test_mutated_frames_yield_commands_or_protocol_errors(
    frames: Callable[[int, int], Iterator[bytes]], decode: Decode
) -> None:
    commands = errors = 0
    for frame in frames(1, FRAMES):
        try:
            found, failed = read(frame, decode)
        except Exception as error:
            raise AssertionError(f"{frame[:2000]!r}") from error
        commands += found
        errors += failed
    # Neither all of them broken nor none: it is the border that is looked at.
    assert commands > FRAMES / 4
    assert FRAMES / 10 < errors < FRAMES * 0.9


def test_every_vector_is_read() -> None:
    small, large = seeds()
    for frame in (*small, *large):
        read(frame)


def test_every_vector_in_protobuf_is_read() -> None:
    small, large = protobuf_seeds()
    assert small
    assert large
    for frame in (*small, *large):
        assert read(frame, protobuf_commands.decode_frame)[1] == 0


def test_the_same_seed_gives_the_same_frames() -> None:
    assert list(mutated_frames(7, 50)) == list(mutated_frames(7, 50))
    assert list(mutated_frames(7, 50)) != list(mutated_frames(8, 50))
