"""Runs Forebay on a real RabbitMQ, and the devices, until Ctrl-C."""

import os
import secrets
import signal
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from subprocess import Popen

HERE = Path(__file__).parent
# A RabbitMQ that FOREBAY_AMQP_URL names, or a container, or a private one below this folder.
SERVER = [sys.executable, "-m", "services.up", "--reload"]
DEVICES = [sys.executable, "devices.py"]


def main() -> int:
    """Run both; when one ends, the other does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # as Ctrl-C does
    key = {"FOREBAY_CLIENT__TOKEN__HMAC_SECRET_KEY": secrets.token_hex(32)}
    # Sessions of their own: Ctrl-C in the terminal is for us, and they are told once.
    start = partial(Popen, cwd=HERE, env={**os.environ, **key}, start_new_session=True)
    with (
        start(SERVER) as server,
        start(DEVICES) as devices,
        suppress(KeyboardInterrupt),
    ):
        try:
            server.wait()
        finally:
            devices.terminate()
            server.terminate()
    return server.returncode


if __name__ == "__main__":
    sys.exit(main())
