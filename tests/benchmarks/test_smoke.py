"""Every benchmark runs and gives its figures; how fast, no test says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("ingest", ["product", "ceiling", "without_cache", "ratio_to_ceiling"]),
        ("metrics", ["time_more", "processor_time_more", "target"]),
        ("recall", ["sizes", "settings", "target"]),
        ("fold", ["random", "repeating", "live"]),
        ("kafka", ["one_worker", "two_workers", "bounds", "recalls", "ratio", "delay_ms_at_half_load"]),
        ("replay", ["messages", "messages_and_recalls"]),
        ("gateway", ["in_process", "over_http", "over_http_relaxed", "doing_nothing", "ratio", "target"]),
        ("memory", ["product", "store_alone", "besides_the_store"]),
        ("million", ["log_read_per_s", "store_written_per_s", "replayed_per_s", "ratio_to_the_lower", "stages"]),
        ("past", ["snapshots", "small_space_before_its_first_snapshot", "large_space_at_its_beginning", "target"]),
    ],
)
def test_a_benchmark_keeps_its_result_with_the_machine(name: str, figures: list[str], tmp_path: Path) -> None:
    """With small sizes it prints one JSON document and writes the same to a file of its own."""
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks", name, "--quick", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    document = json.loads(ran.stdout)
    (file,) = tmp_path.iterdir()
    assert file.name == f"{document['date']}-{name}.json"
    assert json.loads(file.read_text()) == document
    assert document["machine"].keys() >= {"cpu", "cores", "memory_gib", "python", "versions", "load_average_before"}
    assert document["result"].keys() >= set(figures)
