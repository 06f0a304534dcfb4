"""The `forebay` command, and `python -m forebay`."""

import sys
from pathlib import Path


def main() -> None:
    """Run the command line."""
    # In a folder with a `services` or `broker` of its own, ours are the ones that are meant.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from forebay.cli import cli

    cli(prog_name="forebay")


if __name__ == "__main__":
    main()
