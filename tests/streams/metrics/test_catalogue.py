"""The catalogue holds every metric, and says of each what an operator needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from helamem.streams.metrics import catalogue
from helamem.streams.metrics.catalogue import CATALOGUE, LABELS, OURS, Metric
from helamem.streams.metrics.page import page

ROOT = Path(__file__).parents[3]
SOURCES = {
    path: path.read_text()
    for root in ("schemas", "processors", "streams")
    for path in sorted((ROOT / root).rglob("*.py"))
}


def test_the_page_is_written_from_the_catalogue() -> None:
    """docs/metrics.md is what `python -m helamem.streams.metrics.page` writes."""
    assert (ROOT / "docs" / "metrics.md").read_text() == page()


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_a_metric_says_what_it_is(metric: Metric) -> None:
    """Name, type and unit agree as Prometheus wants it; labels are known; sentences end."""
    assert re.fullmatch(r"(helamem|faust|process)_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    for unit in ("seconds", "bytes"):
        assert (unit in metric.name) == (metric.unit == unit)
    assert set(metric.labels) <= LABELS.keys()
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert metric.meaning.endswith(".")
    assert metric.action.endswith(".")


def test_names_are_unique_and_labels_used() -> None:
    """No two metrics share a name, and no label is left over."""
    assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)
    assert {label for metric in CATALOGUE for label in metric.labels} == LABELS.keys()


def test_no_metric_is_made_elsewhere() -> None:
    """Only the registry makes metrics, from the catalogue alone; the server only names the format."""
    importing = {path.name for path, text in SOURCES.items() if "prometheus_client" in text}
    assert importing == {"registry.py", "server.py"}
    registry = next(text for path, text in SOURCES.items() if path.name == "registry.py")
    assert not re.search(r"\b(Counter|Gauge|Histogram|Summary|Info|Enum)\(", registry)


def test_every_metric_is_measured() -> None:
    """A metric that nothing sets would be an empty promise."""
    names = {
        getattr(catalogue, name).name: name
        for name in dir(catalogue)
        if name.isupper()
        if isinstance(getattr(catalogue, name), Metric)
    }
    assert set(names) == {metric.name for metric in OURS}
    measuring = "\n".join(text for path, text in SOURCES.items() if path.name != "catalogue.py")
    for name in names.values():
        assert re.search(rf"\b{name}\b", measuring), name


def test_no_label_names_what_users_store() -> None:
    """Spaces, conversations and memories are without bound, so no label may be about them."""
    assert not LABELS.keys() & {"space", "tenant", "conversation", "speaker", "memory", "id", "user", "text"}
