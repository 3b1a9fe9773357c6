"""`Metrics`: the values of the catalogue's metrics in one process, as prometheus-client collects them."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import accumulate
from math import fsum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from helamem.streams.metrics import catalogue as c

Values = tuple[str, ...]
"""Values of a metric's labels, in the order of the catalogue."""


class _Spread:
    """One histogram series."""

    def __init__(self, buckets: Sequence[float]) -> None:
        self._bounds = buckets
        self.counts = [0] * (len(buckets) + 1)
        self.sum = 0.0

    def add(self, values: Sequence[float]) -> None:
        for value in values:
            self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += fsum(values)

    def add_array(self, values: NDArray[np.float64]) -> None:
        places = np.searchsorted(self._bounds, values, side="left")
        more = np.bincount(places, minlength=len(self.counts)).tolist()
        self.counts = [count + new for count, new in zip(self.counts, more, strict=True)]
        self.sum += float(values.sum())


class Metrics(Collector):
    """Takes what is measured and gives it to a registry. It may be used from several threads.

    A batch of values costs one call, whatever its size: counting must not cost what it counts.

    Args:
        registry: Where it is collected from; None makes one of its own.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._lock = threading.RLock()  # a signal handler may count in the middle of a count of its own thread
        self._numbers: dict[str, dict[Values, float]] = {m.name: {} for m in c.OURS if m.kind != "histogram"}
        self._spreads: dict[str, dict[Values, _Spread]] = {m.name: {} for m in c.OURS if m.kind == "histogram"}
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        self.set(c.BUILD, 1, version=version("helamem"))
        self.set(c.READY, 0)

    def add(self, metric: c.Metric, amount: float = 1, **labels: str) -> None:
        """Raise a counter; an amount of 0 makes its series known."""
        assert metric.kind == "counter"
        self._change(metric, amount, labels)

    def set(self, metric: c.Metric, value: float, **labels: str) -> None:
        """Set a gauge."""
        assert metric.kind == "gauge"
        values = _values(metric, labels)
        with self._lock:
            self._numbers[metric.name][values] = value

    def shift(self, metric: c.Metric, amount: float, **labels: str) -> None:
        """Raise or lower a gauge."""
        assert metric.kind == "gauge"
        self._change(metric, amount, labels)

    def observe(self, metric: c.Metric, *observed: float, **labels: str) -> None:
        """Add a few values to a histogram; none of them makes its series known.

        NumPy gives up the interpreter even for one value, and while others compute has to wait for it again.
        """
        with self._lock:
            self._spread(metric, labels).add(observed)

    def observe_all(self, metric: c.Metric, observed: ArrayLike, **labels: str) -> None:
        """Add many values to a histogram, shape (n,)."""
        array = np.asarray(observed, dtype=np.float64)
        with self._lock:
            self._spread(metric, labels).add_array(array)

    def value(self, metric: c.Metric, **labels: str) -> float:
        """Return a counter or gauge, or how many values a histogram has; 0 where nothing was measured."""
        values = _values(metric, labels)
        if metric.kind == "histogram":
            spread = self._spreads[metric.name].get(values)
            return 0 if spread is None else float(sum(spread.counts))
        return self._numbers[metric.name].get(values, 0)

    def _spread(self, metric: c.Metric, labels: Mapping[str, str]) -> _Spread:
        assert metric.kind == "histogram"
        spreads, values = self._spreads[metric.name], _values(metric, labels)
        spread = spreads.get(values)
        if spread is None:
            spread = spreads[values] = _Spread(metric.buckets)
        return spread

    def _change(self, metric: c.Metric, amount: float, labels: Mapping[str, str]) -> None:
        series, values = self._numbers[metric.name], _values(metric, labels)
        with self._lock:
            series[values] = series.get(values, 0) + amount

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Family]:
        """Yield the families that have values."""
        with self._lock:
            for metric in c.OURS:
                if metric.kind == "histogram":
                    if spreads := self._spreads[metric.name]:
                        yield _histogram(metric, spreads)
                elif numbers := self._numbers[metric.name]:
                    made = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
                    family = made(metric.name, metric.meaning, labels=metric.labels)
                    for values, number in numbers.items():
                        family.add_metric(values, number)
                    yield family

    def describe(self) -> Iterable[Family]:
        """Name nothing in advance: the registry then does not collect when it registers."""
        return ()


def _histogram(metric: c.Metric, spreads: Mapping[Values, _Spread]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
    bounds = [*map(floatToGoString, metric.buckets), "+Inf"]  # 60.0 and not 60: as Prometheus 3 writes it in any case
    for values, spread in spreads.items():
        upto = accumulate(spread.counts)
        family.add_metric(values, list(zip(bounds, upto, strict=True)), spread.sum)
    return family


def _values(metric: c.Metric, labels: Mapping[str, str]) -> Values:
    assert len(labels) == len(metric.labels), f"{metric.name} has the labels {metric.labels}"
    return tuple([labels[name] for name in metric.labels])
