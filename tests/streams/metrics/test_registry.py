"""Values are counted as prometheus-client would count them, many at a time and from many threads."""

from __future__ import annotations

import signal
import threading

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.parser import text_string_to_metric_families

from fixtures.prometheus import promtool
from helamem.streams.metrics import Metrics
from helamem.streams.metrics import catalogue as c

VALUES = st.lists(st.one_of(st.sampled_from(c.STAGE_SECONDS.buckets), st.floats(0, 100)), max_size=40)


def buckets(text: str, name: str) -> dict[str, float]:
    return {
        sample.labels["le"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"{name}_bucket"
    }


@given(VALUES)
def test_a_histogram_counts_like_any_other(values: list[float]) -> None:
    """Many values at once fall into the buckets that one after the other would have, bounds included."""
    metrics, registry = Metrics(), CollectorRegistry()
    name = c.APPEND_SECONDS.name
    theirs = Histogram(name, "", registry=registry, buckets=c.APPEND_SECONDS.buckets)
    metrics.observe_all(c.APPEND_SECONDS, values)
    for value in values:
        theirs.observe(value)
    ours = buckets(metrics.text().decode(), name)
    expected = {
        sample.labels["le"]: sample.value for sample in next(iter(registry.collect())).samples if "le" in sample.labels
    }
    assert {float(bound): count for bound, count in ours.items()} == {
        float(bound): count for bound, count in expected.items()
    }
    assert metrics.value(c.APPEND_SECONDS) == len(values)


def test_threads_lose_nothing() -> None:
    """What several threads add is all there, while others read."""
    metrics = Metrics()

    def add() -> None:
        for _ in range(2000):
            metrics.add(c.RECALLS)
            metrics.observe(c.APPEND_SECONDS, 0.1)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        metrics.text()
    assert metrics.value(c.RECALLS) == metrics.value(c.APPEND_SECONDS) == 8000


def test_an_idle_process_shows_well_formed_metrics() -> None:
    """Version and readiness are there from the start, and promtool finds no fault."""
    metrics = Metrics()
    text = metrics.text()
    assert b"helamem_ready 0.0" in text
    assert b'helamem_build_info{version="' in text
    assert promtool("check", "metrics", given=text) == ""


def test_two_do_not_mix() -> None:
    """What one instance counts, another does not show."""
    one, other = Metrics(), Metrics()
    one.add(c.RECALLS, 3)
    assert (one.value(c.RECALLS), other.value(c.RECALLS)) == (3, 0)


def test_a_signal_in_the_middle_of_a_count_may_count_too() -> None:
    """A handler runs on the thread that it interrupts, and a worker's says that it is no longer ready."""
    metrics = Metrics()

    def handler(*_: object) -> None:
        metrics.set(c.READY, 1)

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with metrics._lock:
            signal.raise_signal(signal.SIGALRM)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert metrics.value(c.READY) == 1
