"""What a process counts about itself, for Prometheus.

Counting is an addition to an attribute; nothing is looked up, locked or formatted before somebody
asks for the numbers.

Rules: labels are codes and fixed words, never anything a client chose.

Not here: what is counted (`services.front.measures` and the like), where it is served.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

CONTENT_TYPE = CONTENT_TYPE_LATEST

PREFIX = "forebay_"


class Tally:
    """A number that only grows: `tally.value += 3`."""

    __slots__ = ("name", "value", "words")

    def __init__(self, name: str, words: str) -> None:
        self.name = name
        self.words = words
        self.value = 0

    def family(self) -> Metric:
        """The number as Prometheus takes it."""
        return CounterMetricFamily(PREFIX + self.name, self.words, value=self.value)


class LabelledTally:
    """Numbers that only grow, by a label with few values."""

    __slots__ = ("label", "name", "values", "words")

    def __init__(self, name: str, words: str, label: str) -> None:
        self.name = name
        self.words = words
        self.label = label
        self.values: dict[str | int, int] = {}

    def add(self, label: str | int, count: int = 1) -> None:
        """Count."""
        self.values[label] = self.values.get(label, 0) + count

    def family(self) -> Metric:
        """The numbers as Prometheus takes them."""
        family = CounterMetricFamily(PREFIX + self.name, self.words, labels=[self.label])
        # Another thread asks, while this process counts on: a new label must not spoil the loop.
        for label, value in self.values.copy().items():
            family.add_metric([str(label)], value)
        return family


class Spread:
    """How often an amount fell where: a histogram."""

    __slots__ = ("_bounds", "_counts", "_total", "name", "words")

    def __init__(self, name: str, words: str, bounds: Sequence[float]) -> None:
        self.name = name
        self.words = words
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def observe(self, amount: float) -> None:
        """Count an amount."""
        self._counts[bisect_left(self._bounds, amount)] += 1
        self._total += amount

    def family(self) -> Metric:
        """The histogram as Prometheus takes it."""
        counted, buckets = 0, []
        names = [*map(str, self._bounds), "+Inf"]
        for name, count in zip(names, self._counts, strict=True):
            counted += count
            buckets.append((name, counted))
        return HistogramMetricFamily(
            PREFIX + self.name, self.words, buckets=buckets, sum_value=self._total
        )


class Level:
    """A number that goes up and down, read when somebody asks."""

    __slots__ = ("_read", "name", "words")

    def __init__(self, name: str, words: str, read: Callable[[], float]) -> None:
        self.name = name
        self.words = words
        self._read = read

    def family(self) -> Metric:
        """The number as Prometheus takes it."""
        return GaugeMetricFamily(PREFIX + self.name, self.words, value=self._read())


Measure = Tally | LabelledTally | Spread | Level


class _Measures(Collector):
    def __init__(self, measures: Sequence[Measure]) -> None:
        self._measures = measures

    def collect(self) -> Iterator[Metric]:
        for measure in self._measures:
            yield measure.family()


@contextmanager
def serving_metrics(host: str, port: int, measures: Sequence[Measure]) -> Iterator[None]:
    """Answer `GET /metrics` on a port of its own, from a thread of its own; port 0 for not at all.

    Raises:
        OSError: the port cannot be had.
    """
    if not port:
        yield
        return
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Measures(measures))
    server, thread = start_http_server(port, host, registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def render_metrics(measures: Sequence[Measure]) -> bytes:
    """The measures in Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Measures(measures))
    return generate_latest(registry)
