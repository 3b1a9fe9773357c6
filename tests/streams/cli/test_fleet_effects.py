"""A fleet that a service embeds: its answers stand in Kafka, and a replay of the archive calls nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.embedding_service import never_the_same, serving
from streams.cli.fleet import Fleet, fleet, kafka, own_kafka
from streams.cli.shell import message, run, write_lines
from streams.store_process.process import StoreProcess

__all__ = ["fleet", "kafka", "own_kafka"]

pytestmark = pytest.mark.slow  # the broker takes seconds to start


def test_answers_stand_in_kafka(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers embed; the fleet's digest is that of its archive, without the service and its address."""
    with serving() as service:
        never_the_same(service)
        monkeypatch.setenv("HELAMEM_EMBEDDER", "openai:m")
        monkeypatch.setenv("HELAMEM_OPENAI_BASE_URL", service.url)
        monkeypatch.setenv("HELAMEM_OPENAI_DIMENSION", "3")
        monkeypatch.setenv("HELAMEM_EFFECTS_INDEX", str(tmp_path / "index.sqlite"))
        assert run("topics", "apply").code == 0
        lines = [message(n, f"number {n % 20}", space=f"acme/s{n % 7}") for n in range(40)]
        chat = write_lines(tmp_path / "chat.jsonl", *lines)
        assert run("ingest", chat, "--kafka").code == 0
        fleet.store = StoreProcess(fleet.home, options=("--dimension", "3"))
        fleet.store.start()
        workers = [fleet.ready_worker("all"), fleet.ready_worker("encoding")]
        fleet.catch_up()
        wanted = run("digest", "--kafka").json
        assert wanted["settings"]["encoding"]["embedder"] == "openai:m"
        for worker in workers:
            assert worker.stop().code == 0
        asked = len(service.calls)
        assert {*service.texts} == {f"Mira: number {n}" for n in range(20)}
        assert run("archive", "--to", tmp_path / "archive", "--kafka").code == 0
        for name in ("OPENAI_BASE_URL", "OPENAI_DIMENSION", "EMBEDDER", "EFFECTS_INDEX"):
            monkeypatch.delenv(f"HELAMEM_{name}")
        replayed = run("replay", "--archive", tmp_path / "archive", "--into", tmp_path / "rebuilt")
        assert replayed.code == 0, replayed.err
        assert replayed.json["digest"] == wanted["digest"]
        assert run("digest", "--home", tmp_path / "rebuilt").json["digest"] == wanted["digest"]
        assert len(service.calls) == asked
