"""Runs the server and the feeder, with a key that both know, until Ctrl-C."""

import os
import secrets
import signal
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from subprocess import Popen

HERE = Path(__file__).parent
SERVER = [sys.executable, "-m", "forebay", "dev", "--quiet"]
FEEDER = [sys.executable, "feeder.py"]


def main() -> int:
    """Run both; when one ends, the other does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # as Ctrl-C does
    key = {"FOREBAY_CLIENT__TOKEN__HMAC_SECRET_KEY": secrets.token_hex(32)}
    # Sessions of their own: Ctrl-C in the terminal is for us, and they are told once.
    start = partial(Popen, cwd=HERE, env={**os.environ, **key}, start_new_session=True)
    with (
        start(SERVER) as server,
        start(FEEDER) as feeder,
        suppress(KeyboardInterrupt),
    ):
        print(f"open {HERE / 'index.html'} in a browser; Ctrl-C stops it all", flush=True)
        try:
            server.wait()
        finally:
            feeder.terminate()
            server.terminate()
    return server.returncode


if __name__ == "__main__":
    sys.exit(main())
