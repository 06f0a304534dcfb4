"""What a process is called where people look: among RabbitMQ's connections."""

import os
import socket


def describe_process(role: str) -> str:
    """Name this process, on this machine: `forebay worker 4711@host`."""
    return f"forebay {role} {os.getpid()}@{socket.gethostname()}"
