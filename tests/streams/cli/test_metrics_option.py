"""`--metrics` of the long-running commands: what they answer while they work."""

from __future__ import annotations

import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from fixtures.prometheus import promtool
from helamem.streams.metrics.catalogue import CATALOGUE
from streams.cli.fleet import WAIT_S, Fleet, fleet, kafka, own_kafka
from streams.cli.shell import ended, logged, run, start

__all__ = ["fleet", "kafka", "own_kafka"]
_ADDRESS = re.compile(r"^metrics at (http://127\.0\.0\.1:\d+)/metrics$")
_NAMES = {
    f"{metric.name}{end}"
    for metric in CATALOGUE
    for end in (("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",))
}


def serving(*arguments: object, says: str) -> tuple[subprocess.Popen[str], str]:
    """Start a command; return it, and where it answers once it has said so and `says`."""
    process = start(*arguments, "--metrics", 0)
    assert process.stderr is not None
    first, second = process.stderr.readline(), process.stderr.readline()
    assert says in second, first + second
    found = _ADDRESS.search(logged(first))
    assert found, first
    return process, found[1]


def read(address: str, path: str = "/metrics") -> str:
    with urllib.request.urlopen(f"{address}{path}", timeout=10) as answer:
        return str(answer.read().decode())


def exposed_names(text: str) -> set[str]:
    return {re.split(r"[{ ]", line)[0] for line in text.splitlines() if not line.startswith("#")}


def test_run_answers_while_it_follows(home: Path, chat: Path) -> None:
    """What was in the log is counted; each name is one of the catalogue; promtool finds no fault."""
    run("ingest", chat, "--home", home, "--no-process")
    process, address = serving("run", "--home", home, says="following the log")
    try:
        assert (read(address, "/live"), read(address, "/ready")) == ("live\n", "ready\n")
        deadline = time.monotonic() + WAIT_S
        while 'outcome="encoded"} 6.0' not in (text := read(address)):
            assert time.monotonic() < deadline, text
            time.sleep(0.05)
        assert exposed_names(text) <= _NAMES
        assert promtool("check", "metrics", given=text.encode()) == ""
    finally:
        process.terminate()
        assert ended(process).code == 0
    with pytest.raises(urllib.error.URLError):
        read(address)


def test_the_store_process_answers(tmp_path: Path) -> None:
    """It is ready when it serves, and shows what its home takes."""
    process, address = serving("store", "--home", tmp_path / "store", says="serving the store")
    try:
        assert read(address, "/ready") == "ready\n"
        deadline = time.monotonic() + WAIT_S
        while 'helamem_home_bytes{part="store"}' not in (text := read(address)):
            assert time.monotonic() < deadline, text
            time.sleep(0.05)
        assert exposed_names(text) <= _NAMES
        assert promtool("check", "metrics", given=text.encode()) == ""
    finally:
        process.terminate()
        assert ended(process).code == 0


@pytest.mark.slow
def test_a_taken_port_is_one_sentence(home: Path, chat: Path) -> None:
    """Nothing is begun: exit code 2, and the home is free."""
    run("ingest", chat, "--home", home)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = run("run", "--home", home, "--metrics", port)
    assert (ran.code, ran.out) == (2, "")
    assert logged(ran.err).startswith(f"port {port} of 127.0.0.1 cannot be had for metrics: ")
    assert ran.err.count("\n") == 1


@pytest.mark.slow
def test_without_a_port_nothing_listens(home: Path, chat: Path) -> None:
    """A plain run says one line, and a port out of range is a usage error."""
    run("ingest", chat, "--home", home)
    process = start("run", "--home", home)
    assert process.stderr is not None
    assert logged(process.stderr.readline()).startswith("following the log")
    process.terminate()
    assert ended(process).code == 0
    assert run("run", "--home", home, "--metrics", 70_000).code == 2


@pytest.mark.slow
def test_a_worker_answers_from_before_kafka_does(fleet: Fleet, chat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configured by the environment: not ready while it waits, ready with its share, and then it counts."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("HELAMEM_METRICS_PORT", str(port))
    worker = fleet.worker()
    assert logged(worker.says("metrics at ")).endswith(f"http://127.0.0.1:{port}/metrics")
    worker.stop()
    run("topics", "apply")
    monkeypatch.delenv("HELAMEM_METRICS_PORT")
    fleet.store.start()
    worker = fleet.worker("all", "--metrics", port)
    worker.says("ready: ")
    address = f"http://127.0.0.1:{port}"
    assert read(address, "/ready") == "ready\n"
    run("ingest", chat, "--kafka")
    fleet.catch_up()
    text = read(address)
    assert exposed_names(text) <= _NAMES
    assert promtool("check", "metrics", given=text.encode()) == ""
    assert re.search(r'helamem_rebalances_total\{group="encoding"\} [1-9]', text)
    assert re.search(r'helamem_partitions_held\{group="consolidation"\} 4\.0', text)
    assert 'helamem_events_processed_total{group="encoding",outcome="encoded"} 6.0' in text
    assert worker.stop().code == 0
