"""A fleet for which services embed and distil: answers stand in Kafka, and a replay of the archive calls nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.chat_service import chatting, quoting
from fakes.embedding_service import never_the_same, serving
from fakes.events import record, reinforced
from streams.cli.fleet import Fleet, fleet, kafka, own_kafka
from streams.cli.shell import message, run, write_lines
from streams.store_process.process import StoreProcess

__all__ = ["fleet", "kafka", "own_kafka"]

pytestmark = pytest.mark.slow  # the broker takes seconds to start


def test_answers_stand_in_kafka(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers embed, one distils; the fleet's digest is that of its archive, without services and addresses."""
    with serving() as service, chatting() as chat_service:
        never_the_same(service)
        chat_service.reply = quoting
        monkeypatch.setenv("HELAMEM_DISTILLER", "openai:g")
        monkeypatch.setenv("HELAMEM_DISTILLER_BASE_URL", chat_service.url)
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
        used = [[f"m{n + 7 * k}" for k in range(4)] for n in range(7)]  # twice together, and they are hubs
        twice = [(n, again) for n in range(7) for again in range(2)]
        fleet.append(*(record(reinforced(f"r{n}-{again}", used[n], space=f"acme/s{n}")) for n, again in twice))
        fleet.catch_up()
        wanted = run("digest", "--kafka").json
        assert wanted["settings"]["encoding"]["embedder"] == "openai:m"
        for worker in workers:
            assert worker.stop().code == 0
        asked = len(service.calls)
        assert {*service.texts} == {f"Mira{says}: number {n}" for n in range(20) for says in ("", " says")}
        assert run("archive", "--to", tmp_path / "archive", "--kafka").code == 0
        for name in ("OPENAI_BASE_URL", "OPENAI_DIMENSION", "EMBEDDER", "EFFECTS_INDEX", "DISTILLER"):
            monkeypatch.delenv(f"HELAMEM_{name}")
        replayed = run("replay", "--archive", tmp_path / "archive", "--into", tmp_path / "rebuilt")
        assert replayed.code == 0, replayed.err
        assert replayed.json["digest"] == wanted["digest"]
        assert run("digest", "--home", tmp_path / "rebuilt").json["digest"] == wanted["digest"]
        assert (len(service.calls), len(chat_service.calls)) == (asked, 7)
        facts = run("facts", "--home", tmp_path / "rebuilt").json["facts"]
        assert {fact["distiller"] for fact in facts} == {"openai:g:distil.v1"}
        assert len(facts) == 7 * 4
