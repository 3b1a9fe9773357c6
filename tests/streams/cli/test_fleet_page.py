"""Every command of docs/fleet.md runs as written, in the page's order, on a real Kafka."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from streams.cli.fleet import Fleet, fleet, kafka, own_kafka
from streams.cli.shell import message, run, write_lines
from streams.cli.test_fleet_gateway import serving
from streams.store_process.process import StoreProcess

__all__ = ["fleet", "kafka", "own_kafka"]

PAGE = Path(__file__).parents[3] / "docs" / "fleet.md"
BLOCKS = re.findall(r"```console\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


@pytest.mark.slow
def test_the_page_is_true(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Store, workers and who merges serve, what is ingested is processed, nothing is left and nothing was put aside."""
    monkeypatch.setenv("HELAMEM_STORE_HOME", "helamem-home")
    fleet.store = StoreProcess(Path("helamem-home"), options=())
    write_lines(tmp_path / "chat.jsonl", message(1, "We have moved from Lisbon to Bergen."))
    answers = {}
    for line in "".join(BLOCKS).splitlines():
        command, *arguments = shlex.split(line)
        assert command == "helamem"
        if arguments[0] == "store":
            assert arguments == ["store", "--home", "helamem-home"]  # what `StoreProcess` starts
            fleet.store.start()
        elif arguments[0] == "gateway":
            assert arguments == ["gateway", "--kafka"]  # what `Serving` starts
            with serving(1) as (gateway,):
                gateway.stop()
        elif arguments[0] == "merge":
            fleet.merger(*arguments[1:]).says("ready: merging 1 inlet")
        elif arguments[0] == "worker":
            fleet.ready_worker(*arguments[1:])
        else:
            if arguments[0] == "digest":
                fleet.catch_up()
            ran = run(*arguments)
            assert (ran.code, ran.err) == (0, ""), line
            answers[" ".join(arguments[:2])] = ran.json
    assert Path("ready").exists()
    assert len(fleet.workers) == 3
    assert answers["ingest chat.jsonl"]["appended"] == 1
    assert answers["replay --kafka"]["digest"] == answers["digest --kafka"]["digest"]
    assert answers["replay --kafka"]["reproduced"]
    assert answers["dead-letters list"]["count"] == 0
    for worker in fleet.workers:
        assert worker.stop().code == 0
    assert not Path("ready").exists()
