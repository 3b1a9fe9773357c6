"""The alerts: each fires, does not and resolves where it should, rests on the catalogue, and has a runbook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures.prometheus import promtool
from helamem.streams.metrics.catalogue import CATALOGUE

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "prometheus" / "rules.yaml"
CASES = Path(__file__).with_name("rules_test.yaml")
RULES: list[dict[str, Any]] = [rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]]
TRIED: list[dict[str, Any]] = [
    one for test in yaml.safe_load(CASES.read_text())["tests"] for one in test["alert_rule_test"]
]
SERIES = {
    f"{metric.name}{end}"
    for metric in CATALOGUE
    for end in (("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",))
}
each = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])


def test_promtool_takes_the_rules() -> None:
    """They are well formed, as Prometheus itself reads them."""
    assert f"{len(RULES)} rules found" in promtool("check", "rules", FILE)


def test_every_case_holds() -> None:
    """Prometheus' own engine plays the series of each case."""
    assert "SUCCESS" in promtool("test", "rules", CASES)


@each
def test_an_alert_has_cases(rule: dict[str, Any]) -> None:
    """At least one in which it fires, and another in which it does not."""
    fires = {bool(case["exp_alerts"]) for case in TRIED if case["alertname"] == rule["alert"]}
    assert fires == {True, False}


@each
def test_an_alert_rests_on_the_catalogue(rule: dict[str, Any]) -> None:
    """No expression names a series that no process exposes."""
    named = set(re.findall(r"\b(?:helamem|process)_\w+", rule["expr"]))
    assert named
    assert named <= SERIES


@each
def test_an_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    """Summary, impact, how urgent it is, and a section of docs/operate.md with steps."""
    notes = rule["annotations"]
    assert notes.keys() == {"summary", "impact", "runbook"}
    assert notes["impact"].endswith(".")
    assert rule["labels"]["severity"] in {"page", "ticket"}
    page, _, anchor = notes["runbook"].partition("#")
    assert anchor == rule["alert"].lower()
    section = re.search(rf"^### {rule['alert']}\n(.*?)(?=^##|\Z)", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    assert section
    assert len(section[1].split()) > 25
