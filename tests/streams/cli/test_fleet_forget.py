"""Forgetting where the memories are a fleet's: the policy stands in Kafka, and the workers do what a run says."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.cli.fleet import Fleet, fleet, kafka, own_kafka
from streams.cli.shell import message, run, write_lines

__all__ = ["fleet", "kafka", "own_kafka"]

pytestmark = pytest.mark.slow  # the broker takes seconds to start


def test_a_fleet_forgets_and_takes_it_back(fleet: Fleet, tmp_path: Path) -> None:
    """By the policy of each tenant in Kafka; undone, the digest is what it was."""
    assert run("topics", "apply").code == 0
    lines = [message(n, f"Day {n} at the harbour.", space=f"{who}/s") for who in ("acme", "globex") for n in range(3)]
    assert run("ingest", write_lines(tmp_path / "chat.jsonl", *lines), "--kafka").code == 0
    policy = run("settings", "--kafka", "--tenant", "acme", "--set", "forgetting.budget=1").json["settings"]
    assert policy["forgetting_of"]["acme"]["budget"] == 1
    fleet.store.start()
    worker = fleet.ready_worker("all")
    fleet.catch_up()
    before = run("digest", "--kafka").json["digest"]
    when = ("--as-of", "2025-02-01T00:00:00Z", "--kafka")
    dry = run("forget", "--tenant", "acme", "--dry-run", *when)
    assert dry.json["counts"] == {"faded": 0, "over-budget": 2}, dry.err
    done = run("forget", "--tenant", "acme", "--yes", *when).json
    assert done["memories"] == dry.json["memories"]
    fleet.catch_up()
    assert run("forget", "--tenant", "acme", "--dry-run", *when).json["memories"] == []
    restored = run("restore", "--run", done["run"], "--kafka").json["restored"]
    assert restored == {"acme/s": [one["memory_id"] for one in done["memories"]]}
    fleet.catch_up()
    assert run("digest", "--kafka").json["digest"] == before
    assert worker.stop().code == 0
