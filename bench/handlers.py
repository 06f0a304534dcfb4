"""What a handler adds to an entry on the app's side: `python -m bench.handlers`.

One app process over its socket pair, a thousand tasks a frame, in CPU microseconds of that process
an entry: of the best of several rounds. What a worker does for it is not in it.
"""

import os
import sys
import tempfile
from pathlib import Path

from forebay.link import Kind, Task
from tests.app.host import HostProcess, serving

TASKS, FRAMES, ROUNDS = 1_000, 200, 3
DATA = (
    b'{"text":"the quick brown fox jumps over the lazy dog, and again, until the line is as long as'
    b' one that people write","room":"general","at":1764000000,"tags":["a","b"],"reply_to":null}'
)

APP = """
import msgspec
from forebay import App, Call, Publication

app = App()

class Chat(msgspec.Struct):
    text: str
    room: str
    at: int
    tags: list[str]
    reply_to: int | None = None

@app.publish("plain:*")
def plain(event: Publication) -> None:
    return None

@app.publish("async:*")
async def passing(event: Publication) -> None:
    return None

@app.publish("typed:*")
def typed(event: Publication[Chat]) -> None:
    assert event.data.text

@app.publish("changed:*")
def changed(event: Publication[Chat]) -> Chat:
    event.data.text = event.data.text.upper()
    return event.data
"""


def tasks(kind: str, channels: int, first: int) -> list[Task]:
    sender = b'{"user":"ada","client":"0c6f1f0a-7d3e-4f0e-9a55-6f1c8d1d2b11"}'
    key = "0c6f1f0a7d3e4f0e9a55.%d.0"
    return [
        Task(
            first + number,
            number,
            f"{kind}:{number % channels}",
            0,
            Kind.PUBLISH,
            f"{kind}:{number % channels}",
            sender,
            DATA,
            key % number,
            1,
        )
        for number in range(TASKS)
    ]


def cpu_seconds(host: HostProcess) -> float:
    fields = Path(f"/proc/{host.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(host: HostProcess, kind: str, channels: int) -> float:
    """CPU microseconds an entry; the kernel counts in ticks, so many frames make a round."""
    best = float("inf")
    for _ in range(ROUNDS):
        before = cpu_seconds(host)
        for frame in range(FRAMES):
            host.give(*tasks(kind, channels, frame * TASKS))
            answered = host.answers(TASKS)
            assert len(answered) == TASKS
        best = min(best, (cpu_seconds(host) - before) / (FRAMES * TASKS) * 1e6)
    return best


def main() -> int:
    """Print the table; give the exit code."""
    print(f"{'handler':>10} {'100 channels':>14} {'1,000 channels':>16}   µs of CPU an entry")
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), APP) as host:
        for kind in ("plain", "async", "typed", "changed"):
            few, many = (measure(host, kind, channels) for channels in (100, 1_000))
            print(f"{kind:>10} {few:>14.2f} {many:>16.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
