"""The dashboards: as Grafana reads them, on the catalogue alone, and none of their panels is empty after a real run."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from deploy.observed import EVERY_MS, STAYING, Observed, observed
from fixtures.kafka import Kafka, kafka
from fixtures.prometheus import promtool, required
from fixtures.webhook import Address, address
from helamem.streams.metrics.catalogue import CATALOGUE, OURS
from streams.cli.fleet import fleet_on

__all__ = ["address", "kafka"]

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy" / "grafana"
BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))
}
PANELS = [
    pytest.param(panel, id=f"{name}: {panel['id']} {panel['title']}")
    for name, board in BOARDS.items()
    for panel in board["panels"]
    if panel["type"] != "row"
]
SERIES = {
    f"{metric.name}{end}"
    for metric in CATALOGUE
    for end in (("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",))
} | {"ALERTS"}
"""`ALERTS` is what Prometheus itself writes."""
UNITS = {"s", "bytes", "percentunit", "short", "recps", "eps", "ops"}
each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS.keys())
each_panel = pytest.mark.parametrize("panel", PANELS)


def expressions(board: dict[str, Any]) -> list[str]:
    """Return all queries of a dashboard: panels and annotations."""
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    return asked + [mark["expr"] for mark in board["annotations"]["list"]]


def test_they_are_written_from_their_description(tmp_path: Path) -> None:
    """`make dashboards` would change nothing."""
    subprocess.run([sys.executable, "-m", "deploy.grafana", str(tmp_path)], cwd=ROOT, check=True)
    again = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    assert again == BOARDS


@each_board
def test_a_dashboard_is_as_grafana_wants_it(board: dict[str, Any]) -> None:
    """It has a stable uid and no id, panels have ids of their own and do not lie on each other."""
    assert "id" not in board
    assert re.fullmatch(r"helamem-[a-z-]{3,30}", board["uid"])
    assert board["schemaVersion"] >= 39
    assert board["description"].endswith(".")
    ids = [panel["id"] for panel in board["panels"]]
    assert sorted(ids) == list(range(1, len(ids) + 1))
    places = [panel["gridPos"] for panel in board["panels"]]
    assert all(at["x"] >= 0 and at["x"] + at["w"] <= 24 and at["w"] > 0 and at["h"] > 0 for at in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]


@each_board
def test_what_can_be_chosen_and_what_is_marked(board: dict[str, Any]) -> None:
    """Prometheus, job and worker; replays and deployments. Every query goes by the choice."""
    variables = board["templating"]["list"]
    assert [variable["name"] for variable in variables] == ["datasource", "job", "worker"]
    assert [mark["name"] for mark in board["annotations"]["list"]] == ["Replays", "Deployments"]
    assert all(one["datasource"]["uid"] == "${datasource}" for one in (*variables[1:], *board["annotations"]["list"]))
    for expression in expressions(board):
        selectors = re.findall(r"\b(?:helamem|faust|process)_\w+\{([^}]*)\}", expression)
        assert all('job=~"$job",instance=~"$worker"' in selector for selector in selectors), expression
        assert set(re.findall(r"\$\w+", expression)) <= {"$job", "$worker", "$__rate_interval", "$__range"}


@each_board
def test_a_dashboard_rests_on_the_catalogue(board: dict[str, Any]) -> None:
    """No query names a series that no process exposes."""
    for expression in expressions(board):
        named = set(re.findall(r"\b([a-zA-Z_]\w*)\{", expression))
        assert named, expression
        assert named <= SERIES, expression
        assert set(re.findall(r"\b(?:helamem|faust|process)_\w+", expression)) <= named, expression
    for variable in board["templating"]["list"][1:]:
        assert set(re.findall(r"helamem_\w+", variable["definition"])) <= SERIES


def test_every_metric_of_ours_is_shown() -> None:
    """What nobody sees need not be measured."""
    shown = {name for board in BOARDS.values() for text in expressions(board) for name in re.findall(r"\w+", text)}
    ends = ("", "_bucket", "_sum", "_count")
    missing = {metric.name for metric in OURS if not shown & {f"{metric.name}{end}" for end in ends}}
    assert missing == {"helamem_committed_offset", "faust_buffer_full_total", "faust_send_seconds"}


@each_panel
def test_a_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    """A description with a sentence, a unit, a data source to choose, and a name for each of several series."""
    assert panel["description"].endswith(".")
    assert len(panel["description"].split()) > 4
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["type"] in {"stat", "timeseries", "bargauge"}
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for target in panel["targets"]:
        assert target["datasource"] == panel["datasource"]
        if panel["type"] == "timeseries":
            assert target["legendFormat"] != "__auto"
        for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
            assert re.search(rf"\bby \([\w, ]*\b{label}\b", target["expr"]), (label, target["expr"])


def test_one_panel_has_one_name() -> None:
    """What asks the same on two dashboards says the same there."""
    said: dict[tuple[str, ...], set[tuple[str, str]]] = defaultdict(set)
    for board in BOARDS.values():
        for panel in board["panels"]:
            if panel["type"] != "row":
                asked = tuple(target["expr"] for target in panel["targets"])
                said[asked].add((panel["title"], panel["description"]))
    assert [names for names in said.values() if len(names) > 1] == []


def test_grafana_finds_them() -> None:
    """Provisioning names a data source of the dashboards' kind, and the folder in which compose lays them."""
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    assert (source["type"], source["uid"], source["isDefault"]) == ("prometheus", "prometheus", True)
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/helamem.yaml").read_text())["providers"]
    assert (provider["type"], provider["options"]["path"]) == ("file", "/var/lib/grafana/dashboards")


@pytest.fixture(scope="module")
def seen(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """A run of everything, as Prometheus has it."""
    required("prometheus")
    folder = tmp_path_factory.mktemp("observed")
    webhook = Address()
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        webhook.serving(),
        fleet_on(kafka, folder, monkeypatch) as fleet,
        observed(folder, fleet, webhook, monkeypatch) as run,
    ):
        yield run


def answers(seen: Observed, expression: str, *, at_once: bool) -> list[float]:
    """Return all numbers that a query gives, as Grafana would ask it."""
    now_s = time.time()
    asked = expression.replace("$__rate_interval", "10s").replace("$__range", f"{now_s - seen.began_s:.0f}s")
    asked = asked.replace("$job", ".*").replace("$worker", ".*")
    if at_once:
        values = [series["value"] for series in seen.prometheus.query(asked)]
    else:
        found = seen.prometheus.query_range(asked, seen.began_s, now_s, EVERY_MS / 1000)
        values = [value for series in found for value in series["values"]]
    return [number for _, text in values if math.isfinite(number := float(text))]


@pytest.mark.slow
@each_panel
def test_no_panel_is_empty(seen: Observed, panel: dict[str, Any]) -> None:
    """After a run of a library and of a fleet, with an archiver, an audit and a replay, each query has data."""
    for target in panel["targets"]:
        assert answers(seen, target["expr"], at_once=target["instant"]), target["expr"]


@pytest.mark.slow
@each_board
def test_annotations_and_choices_have_data(seen: Observed, board: dict[str, Any]) -> None:
    """The replay and the begin of processes were seen, and there are jobs and workers to choose."""
    replays, deployments = (mark["expr"] for mark in board["annotations"]["list"])
    assert 1.0 in answers(seen, replays, at_once=False)
    assert all(abs(at_ms / 1000 - seen.began_s) < 3600 for at_ms in answers(seen, deployments, at_once=False))
    assert answers(seen, deployments, at_once=False)
    for variable in board["templating"]["list"][1:]:
        selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]).groups()  # type: ignore[union-attr]
        assert seen.prometheus.query(f"count by ({label}) ({selector.replace('$job', '.*')})")


@pytest.mark.slow
def test_a_picture_shows_what_grafana_would(seen: Observed, tmp_path: Path) -> None:
    """Each dashboard is drawn whole: every title stands in it, and no panel is without data."""
    minutes = f"{(time.time() - seen.began_s) / 60:.2f}"
    draw = [sys.executable, "-m", "deploy.grafana.picture", seen.prometheus.url, str(tmp_path)]
    subprocess.run([*draw, "--minutes", minutes, "--rate", "10"], cwd=ROOT, check=True)
    for name, board in BOARDS.items():
        picture = ET.parse(tmp_path / f"{name}.svg")  # noqa: S314 - it was written just now
        texts = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
        assert {panel["title"] for panel in board["panels"]} <= set(texts)
        assert "No data" not in texts


@pytest.mark.slow
def test_only_the_catalogue_was_exposed(seen: Observed) -> None:
    """By whichever process."""
    assert seen.prometheus.names() <= SERIES


@pytest.mark.slow
@pytest.mark.parametrize("job", STAYING)
def test_promtool_finds_no_fault(seen: Observed, job: str) -> None:
    """In what each process exposes after it has done all that it does."""
    assert promtool("check", "metrics", given=seen.texts[job]) == ""
