"""Runs a test's server: `python -m services.kit DESCRIPTOR`, with one end of a socket pair.

It ends when the other end is closed.
"""

import gc
import logging
import signal
import socket
import sys

from services.kit.clock import KitClock


def main() -> int:
    """Serve until the test run has ended; answers the exit code."""
    clock = KitClock()
    clock.install()
    # Only now: see the clock.
    from services.kit.serving import run
    from services.lifecycle import COLLECT_AFTER
    from services.logs import configure_logs

    configure_logs(logging.WARNING, is_terminal=False)
    gc.set_threshold(*COLLECT_AFTER)
    # Ctrl-C is for the test run, which ends this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run(socket.socket(fileno=int(sys.argv[1])), clock)
    return 0


if __name__ == "__main__":
    sys.exit(main())
