"""What `make up` tells the person in front of it: whole lines, at once, on standard output."""


def say(sentence: str) -> None:
    """Print a line of our own, told apart from what the processes log."""
    print(f"forebay: {sentence}", flush=True)
