"""Mutated frames yield commands or protocol errors, nothing else. `python -m bench.decode` reads a
million of them.
"""

import pytest

from tests.conformance.fuzzing import read
from tests.conformance.mutator import mutated_frames, seeds

FRAMES = 100_000


@pytest.mark.timeout(120)
def test_mutated_frames_yield_commands_or_protocol_errors() -> None:
    commands = errors = 0
    for frame in mutated_frames(seed=1, count=FRAMES):
        try:
            found, failed = read(frame)
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


def test_the_same_seed_gives_the_same_frames() -> None:
    assert list(mutated_frames(7, 50)) == list(mutated_frames(7, 50))
    assert list(mutated_frames(7, 50)) != list(mutated_frames(8, 50))
