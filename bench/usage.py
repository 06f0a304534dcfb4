"""What processes cost: CPU time and resident memory, children included.

Not here: interpreting it (the measurements do), showing it (report.py).
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

# Above this one-minute load before a run something else wants the cores too.
QUIET_LOAD_PER_CORE = 0.25


@dataclass(frozen=True)
class Usage:
    """CPU seconds of some named processes between two moments."""

    seconds: float
    cpu_seconds: Mapping[str, float]

    def microseconds_each(self, count: int) -> dict[str, float]:
        """The CPU of each process divided over what it worked on."""
        return {name: spent * 1e6 / max(count, 1) for name, spent in self.cpu_seconds.items()}

    def share(self, name: str) -> float:
        """How much of one core a process used."""
        return self.cpu_seconds[name] / self.seconds


class Meter:
    """Reads the CPU time of named processes; children count as their parent."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._processes = {name: _family(pid) for name, pid in pids.items()}
        self._started_at = 0.0
        self._before: dict[str, float] = {}

    def start(self) -> None:
        """Begin an interval."""
        self._before = self._read()
        self._started_at = time.perf_counter()

    def stop(self) -> Usage:
        """End the interval."""
        seconds = time.perf_counter() - self._started_at
        after = self._read()
        return Usage(seconds, {name: after[name] - self._before[name] for name in after})

    def _read(self) -> dict[str, float]:
        return {name: sum(map(_cpu_seconds, family)) for name, family in self._processes.items()}


def rss_bytes(pid: int) -> int:
    """Resident memory of a process and its children."""
    return sum(process.memory_info().rss for process in _family(pid))


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its children so far."""
    return sum(map(_cpu_seconds, _family(pid)))


def describe_machine() -> dict[str, object]:
    """Whether the machine is quiet enough to believe absolute figures."""
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0]
    return {
        "cores": cores,
        "load_before": round(load, 2),
        "quiet": load <= QUIET_LOAD_PER_CORE * cores,
    }


def _family(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    # The generator's own children are the other measured processes.
    return [root] if pid == os.getpid() else [root, *root.children(recursive=True)]


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)
