"""What `make up` tells the person in front of it: whole lines, at once, on standard output."""

from contextlib import suppress


def say(sentence: str) -> None:
    """Print a line of our own, told apart from what the processes log.

    Nobody may be there any more (a closed terminal): what is being stopped is stopped all the same.
    """
    with suppress(OSError):
        print(f"forebay: {sentence}", flush=True)
