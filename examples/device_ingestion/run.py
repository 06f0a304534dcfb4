"""Runs Forebay on a real RabbitMQ, and the devices, until Ctrl-C."""

import os
import secrets
import signal
import sys
from contextlib import suppress
from pathlib import Path
from subprocess import Popen

HERE = Path(__file__).parent
# A RabbitMQ that FOREBAY_AMQP_URL names, or a container, or a private one below this folder.
SERVER = [sys.executable, "-m", "services.up", "--reload"]
DEVICES = [sys.executable, "devices.py"]


def main() -> int:
    """Run both; when one ends, the other does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C does
    key = {"FOREBAY_CLIENT__TOKEN__HMAC_SECRET_KEY": secrets.token_hex(32)}
    environment = {**os.environ, **key}
    with (
        Popen(SERVER, cwd=HERE, env=environment) as server,
        Popen(DEVICES, cwd=HERE, env=environment) as devices,
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
