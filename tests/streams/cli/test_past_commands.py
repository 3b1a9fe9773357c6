"""`diff` and `recall --as-of TIME --state`: what was known then, and what lies between then and now."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from helamem.processors.store.edge import EdgeStore
from helamem.schemas.errors import RetryLater
from helamem.streams.home import Home, wall_clock_ms
from helamem.streams.log.writer_lock import InUseError, WriterLock
from helamem.streams.store_process.client import RemoteStore
from streams.cli.shell import Ran, ended, message, run, run_on_terminal, start, write_lines

Call = Callable[..., Ran]


def a_moment() -> str:
    """Return the time now; what was appended before lies before it, and what comes later after it."""
    time.sleep(0.01)
    text = datetime.now(UTC).isoformat()
    time.sleep(0.01)
    return text


@pytest.fixture
def then(call: Call, chat: Path, tmp_path: Path) -> str:
    """A moment after which much has changed: one memory more, links, and one forgotten memory."""
    call("ingest", chat)
    moment = a_moment()
    call("ingest", write_lines(tmp_path / "more.jsonl", message(9, "In May we moved on, to Stavanger.")))
    recalled = call("recall", "Who moved?", "--space", "acme/mira", "--as-of", "2025-02-01T00:00:00Z").json
    used = [result["id"] for result in recalled["results"] if result["message_id"] in ("m1", "m9")]
    call("reinforce", recalled["recall_id"], *used)
    call(
        *("forget", "--space", "acme/mira", "--older-than-days", 0, "--not-recalled-for-days", 1),
        *("--weaker-than", 0.05, "--as-of", "2025-02-03T00:00:00Z", "--yes"),
    )
    return moment


@pytest.mark.slow
def test_two_moments_of_one_home(call: Call, home: Path, then: str) -> None:
    """Memories, links and what was forgotten; nothing between a moment and itself; it is rebuilt once."""
    found = call("diff", then, "now").json
    assert (found["equal"], list(found["spaces"])) == (False, ["acme/mira"])
    space = found["spaces"]["acme/mira"]
    assert [one["text"] for one in space["memories"]["added"]] == ["In May we moved on, to Stavanger."]
    assert space["memories"]["hidden"]
    assert space["memories"]["removed"] == space["memories"]["shown"] == space["memories"]["changed"] == []
    assert not space["edges"]["removed"]
    assert not space["edges"]["changed"]
    assert max(edge["after"] for edge in space["edges"]["added"]) > 0.1
    assert space["edges"]["added"][0]["before"] == 0
    back = call("diff", "now", then).json["spaces"]["acme/mira"]
    assert back["memories"]["removed"] == space["memories"]["added"]
    assert back["memories"]["shown"]
    assert len(back["edges"]["removed"]) == len(space["edges"]["added"])
    assert call("diff", then, then).json == {"equal": True, "spaces": {}}
    assert call("diff", then, "now", "--space", "acme/tom").json["equal"]
    assert len(list((home / "moments").iterdir())) == 1


@pytest.mark.slow
def test_two_homes(call: Call, home: Path, then: str, tmp_path: Path) -> None:
    """A home and its rebuild do not differ; one that was rebuilt until then does."""
    call("replay", "--into", tmp_path / "now")
    call("replay", "--into", tmp_path / "then", "--until", then)
    assert call("diff", home, tmp_path / "now").json["equal"]
    assert call("diff", tmp_path / "then", tmp_path / "now").json == call("diff", then, "now").json


def test_a_recall_answers_from_the_state_as_it_was(call: Call, home: Path, then: str) -> None:
    """What was said, linked and forgotten later has no part in it, whatever its event time; no trace is left."""
    question = ("recall", "Who moved?", "--space", "acme/mira", "--as-of")
    digest = call("digest").json
    set_back = call(*question, then, "--no-emit").json["results"]
    assert "In May we moved on, to Stavanger." in [result["text"] for result in set_back]
    was = call(*question, then, "--state").json
    assert (was["recall_id"], was["recorded"]) == (None, False)
    texts = [result["text"] for result in was["results"]]
    assert "In May we moved on, to Stavanger." not in texts
    assert len(texts) == 4
    assert call("digest").json == digest
    call("replay", "--into", home.parent / "then", "--until", then)
    same = call(*question, then, "--no-emit", "--home", home.parent / "then").json
    assert same["results"] == was["results"]


def test_a_past_state_is_one_process_s_at_a_time(call: Call, home: Path, then: str) -> None:
    """Who asks meanwhile is told who has it, whether it is being put together or looked at, and to wait."""
    recall = ("recall", "Who moved?", "--space", "acme/mira", "--state", "--as-of", then)
    before = call(*recall).json
    (place,) = (home / "moments").iterdir()
    told = re.compile(
        rf"helamem: the state of {home} at {re.escape(then)} is just being put together or looked at by process "
        rf"{os.getpid()} \(.*\) since \S+Z; try again when that has ended\n"
    )
    key, public = home.with_name("key"), home.with_name("public")
    call("audit", "keygen", "--key", key, "--public-key", public)
    anew = (*recall, "--public-key", public)  # which believes nothing that is there
    for command in (recall, ("diff", then, "now", "--space", "acme/mira"), anew):
        with Home.open(place, create=False):
            ran = call(*command)
        assert (ran.code, ran.out) == (1, ""), command
        assert told.fullmatch(ran.err.splitlines(keepends=True)[-1]), ran.err
    shutil.rmtree(place)
    place.mkdir()
    begun = WriterLock.take(place / "writer.lock", "the home", lambda: 0)
    ran = call(*recall)
    begun.release()
    assert (ran.code, ran.out) == (1, "")
    assert told.fullmatch(ran.err), ran.err
    assert call(*recall).json == before


@pytest.mark.slow
def test_few_past_states_are_kept(call: Call, home: Path, then: str) -> None:
    """Those used last; any may be deleted and is rebuilt; the answer is the same."""
    moments = [then, *(a_moment() for _ in range(2))]
    for number, moment in enumerate(moments):
        call("ingest", write_lines(home.parent / "m.jsonl", message(20 + number, f"Number {number}.")))
        assert call("diff", moment, "now").code == 0
    kept = home / "moments"
    assert len(list(kept.iterdir())) == 2
    first = call("diff", then, "now").json
    assert len(list(kept.iterdir())) == 2
    for path in kept.iterdir():
        (path / "home.json").write_text('{"format": 1, "projection_of": "elsewhere", "unfinished": true}')
    ran = call("diff", then, "now")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    shutil.rmtree(kept)
    assert call("diff", then, "now").json == first


def test_a_past_state_begins_with_a_snapshot(call: Call, home: Path, then: str, tmp_path: Path) -> None:
    """The answer is the same, and says what it comes of and who signed; what was altered is refused."""
    question = ("recall", "Who moved?", "--space", "acme/mira", "--state", "--as-of", then)
    before = call(*question).json
    assert before["state"]["snapshot"] is None
    call("audit", "keygen", "--key", tmp_path / "key", "--public-key", tmp_path / "public")
    taken = call("snapshot", "--every", 2, "--key", tmp_path / "key").json
    again = call("snapshot", "--every", 2, "--key", tmp_path / "key").json
    assert taken["taken"] == len(taken["kept"]) > 2
    assert again == taken | {"taken": 0}
    assert {one["space"] for one in taken["kept"]} == {"acme/mira", "acme/tom"}
    shutil.rmtree(home / "moments")
    ran = call(*question, "--public-key", tmp_path / "public")
    assert ran.json["results"] == before["results"]
    begun_with = ran.json["state"]["snapshot"]
    assert begun_with in [
        {name: one[name] for name in ("records", "taken_at", "digest", "signed_by")} for one in taken["kept"]
    ]
    assert f"a snapshot of the space's first {begun_with['records']} records, signed by" in ran.err
    for file in (home / "snapshots" / "blocks").glob("*/*"):
        file.write_text("altered")
    refused = call(*question, "--public-key", tmp_path / "public")
    assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
    assert re.search(
        r"blocks/\S+, a part of \S+, is not what the snapshot was made of; remove the snapshot", refused.err
    )
    shutil.rmtree(home / "snapshots")
    assert call(*question).json == before


@pytest.mark.slow
def test_snapshots_are_taken_while_the_log_grows_and_go_on_after_a_kill(home: Path, chat: Path, tmp_path: Path) -> None:
    """Beside whoever writes; ended by a signal the command says what there is, killed it leaves nothing half made."""
    assert run("ingest", chat, "--home", home).code == 0
    killed = start("snapshot", "--every", 2, "--follow", "--home", home)
    while not (home / "snapshots" / "begun" / "store").exists():
        assert killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    held = _locked(home / "snapshots" / "begun" / "writer.lock")  # as the child of the killed one may still do
    following = start("snapshot", "--every", 2, "--follow", "--home", home)
    assert following.stderr is not None
    said = [following.stderr.readline() for _ in range(2)]
    assert "waiting: " in said[-1], said
    held.release()
    lines = [message(number, f"Number {number}.") for number in range(50, 56)]
    assert run("ingest", write_lines(tmp_path / "more.jsonl", *lines), "--home", home).code == 0
    while _longest(home) < 10:
        assert following.poll() is None
        time.sleep(0.01)
    assert "going on" in following.stderr.readline()
    following.terminate()
    ended_ = ended(following)
    assert ended_.code == 0
    assert max(one["records"] for one in ended_.json["kept"]) == 10
    assert not (home / "snapshots" / "begun").exists()


def _locked(path: Path) -> WriterLock:
    """Return the lock of a home whose writer was killed, once its child has let it go."""
    while True:
        with suppress(InUseError):
            return WriterLock.take(path, "the test", wall_clock_ms)
        time.sleep(0.01)


def _longest(home: Path) -> int:
    """Return of how many records the longest snapshot is."""
    records = [0]
    for file in (home / "snapshots").glob("*/snapshot.json"):
        with suppress(FileNotFoundError):  # it has just been removed
            if file.parent.name != "begun":
                records.append(json.loads(file.read_bytes())["manifest"]["records"])
    return max(records)


@pytest.mark.slow
def test_what_is_away_is_said(call: Call, chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that rebuilds a state waits where something is away, and says so, and that it goes on."""
    call("ingest", chat)
    call("audit", "keygen", "--key", tmp_path / "key.pem", "--public-key", tmp_path / "public.pem")
    assert call("archive", "--to", tmp_path / "archive", "--key", tmp_path / "key.pem").code == 0
    left = list[str]()

    def away_once(flush: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
        async def flushing(store: Any) -> None:
            if left:
                raise RetryLater(left.pop())
            await flush(store)

        return flushing

    # A past state of a small space is put together in a store of this process, all else in that of a child.
    monkeypatch.setattr(RemoteStore, "flush", away_once(RemoteStore.flush))
    monkeypatch.setattr(EdgeStore, "flush", away_once(EdgeStore.flush))
    for command in (
        ("replay", "--into", tmp_path / "again"),
        ("recall", "Who moved?", "--space", "acme/mira", "--as-of", a_moment(), "--state"),
        ("snapshot", "--every", 2),
        ("digest", "--archive", tmp_path / "archive"),
    ):
        left.append("the disk is full; free some space")
        ran = call(*command)
        assert ran.code == 0
        said = [line for line in ran.err.splitlines() if "the state at" not in line]
        assert said == ["helamem: waiting: the disk is full; free some space", "helamem: going on"]


def test_what_makes_no_sense_is_refused(call: Call, home: Path, then: str, tmp_path: Path) -> None:
    """In one sentence."""
    call("replay", "--into", tmp_path / "rebuilt")
    for arguments in (
        ("diff", "no-such-home-or-moment", "now"),
        ("diff", then, "1999-01-01T00:00:00Z"),
        ("diff", then, "now", "--home", tmp_path / "rebuilt"),
        ("recall", "q", "--space", "acme/mira", "--state"),
        ("recall", "q", "--space", "acme/mira", "--state", "--as-of", "1999-01-01T00:00:00Z"),
    ):
        ran = call(*arguments)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)


@pytest.mark.slow
def test_a_person_sees_a_table(call: Call, home: Path, then: str) -> None:
    """With numbers, texts and weights."""
    code, seen = run_on_terminal("diff", then, "now", "--home", home)
    assert code == 0
    for part in ("1 added", "Stavanger", "hidden", "links", "→"):
        assert part in seen
