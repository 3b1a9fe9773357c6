"""`helamem up`, `gateway` and `keys` as processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from streams.cli.shell import Ran, ended, logged, run, start

SPACE = "/v1/spaces/acme/mira"
SAID = {"conversation": "c", "speaker": "Mira", "text": "I moved to Bergen.", "time": "2025-05-12T18:00:00Z"}
WITHOUT = """
import sys
sys.modules["fastapi"] = None
from importlib import util
found = util.find_spec
util.find_spec = lambda name: None if name == "fastapi" else found(name)
from helamem.streams.cli import main
main()
"""


@contextmanager
def serving(command: str, home: Path, *options: object) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """Start a gateway; give its process, what it said first, and its address."""
    process = start(command, "--home", home, "--port", 0, *options)
    assert process.stderr is not None
    said = logged(process.stderr.readline())
    assert said.startswith(f"answering for {home} at http://"), said
    try:
        yield process, said, said.split(" at ")[1].split(";")[0]
    finally:
        process.kill()
        process.communicate()


COUNTED = {"encoded", "duplicates", "conflicts", "dead_letters"}
"""What `ingest` says of what it processed itself."""


def test_up_is_all_that_is_needed(home: Path) -> None:
    """It makes a home, answers, processes, and ends in good order at a signal; nothing appended is lost."""
    with serving("up", home) as (process, said, address), httpx.Client(base_url=address, timeout=60) as client:
        assert "anybody on this machine may ask" in said
        assert client.get("/live").text == "live\n"
        assert client.get("/ready").status_code == 200
        answer = client.post(f"{SPACE}/messages?wait=searchable", json=SAID)
        assert (answer.status_code, answer.json()["searchable"]) == (201, True)
        found = client.post(f"{SPACE}/recall", json={"query": "Where does Mira live?"}).json()
        assert [hit["text"] for hit in found["results"]] == ["I moved to Bergen."]
        process.send_signal(signal.SIGTERM)
        ran = ended(process)
        assert (ran.code, ran.err) == (0, "")
        assert ran.json["counts"]["encoded"] == 1
    assert run("spaces", "--home", home).json == {"spaces": {"acme/mira": 1}}


@pytest.mark.slow
def test_gateway_answers_and_processes_nothing(home: Path, chat: Path) -> None:
    """What it takes in waits for somebody who does."""
    run("ingest", chat, "--home", home)
    with serving("gateway", home) as (process, _, address), httpx.Client(base_url=address, timeout=60) as client:
        assert client.get("/v1/spaces").json()["spaces"] == [
            {"space": "acme/mira", "memories": 4},
            {"space": "acme/tom", "memories": 2},
        ]
        assert client.post(f"{SPACE}/messages", json=SAID).status_code == 201
        assert client.get(SPACE).json()["memories"] == 4
        told = run("ingest", chat, "--home", home).json
        assert (told["processed"], COUNTED & told.keys()) == (False, set())
        process.send_signal(signal.SIGINT)
        assert ended(process).code == 0
    assert run("spaces", "--home", home).json["spaces"]["acme/mira"] == 5


def test_an_address_beyond_this_machine_takes_keys(call: Callable[..., Ran], home: Path) -> None:
    """Without one it is refused, with one sentence that says how to make one; a revoked one is none."""
    key = call("keys", "add", "--tenant", "acme").json
    assert call("keys", "revoke", key["id"]).json["revoked"]
    ran = call("up", "--host", "0.0.0.0", "--port", 0)  # noqa: S104 - that it is refused is what is tested
    assert (ran.code, ran.out) == (2, "")
    assert "make one first with: helamem keys add" in ran.err
    assert not (home / "log.sqlite").exists()


@pytest.mark.slow
def test_with_keys_it_answers_everywhere(home: Path) -> None:
    """A key that is added while it runs opens at once; without one nothing opens."""
    run("keys", "add", "--tenant", "other", "--home", home)
    with serving("up", home, "--host", "0.0.0.0") as (_, said, address):  # noqa: S104 - with a key
        assert "there are no keys" not in said
        here = address.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - where to reach it
        key = run("keys", "add", "--tenant", "acme", "--home", home).json["key"]
        assert httpx.get(f"{here}/v1/spaces", timeout=60).status_code == 401
        assert httpx.get(f"{here}/v1/spaces", headers={"Authorization": f"Bearer {key}"}, timeout=60).status_code == 200


def test_a_port_that_is_taken_is_told(call: Callable[..., Ran], home: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = call("up", "--port", taken.getsockname()[1])
    assert (ran.code, ran.out) == (2, "")
    assert "name another one with --port" in ran.err


def test_without_its_extra_it_says_what_to_install(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, "up", "--home", str(home)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "helamem: answering HTTP needs fastapi; install it with: pip install 'helamem[gateway]'\n"


def test_keys_are_listed_without_what_opens(call: Callable[..., Ran], home: Path) -> None:
    """A key is shown when it is made and never again."""
    made = call("keys", "add", "--tenant", "acme", "--spaces", "mira, team-*", "--rights", "recall", "--rate", 5).json
    assert made["key"].startswith(f"helamem_{made['id']}_")
    listed = call("keys", "list")
    assert made["key"].removeprefix(f"helamem_{made['id']}_") not in listed.out
    (only,) = listed.json["keys"]
    assert (only["spaces"], only["rights"], only["per_s"]) == (["mira", "team-*"], ["recall"], 5.0)
    assert json.loads((home / "home.json").read_text())


def test_keys_of_no_home_are_not_listed(call: Callable[..., Ran]) -> None:
    for arguments in (("list",), ("revoke", "an-id")):
        ran = call("keys", *arguments)
        assert ran.code == 2
        assert "there is no helamem home" in ran.err


@pytest.mark.slow
def test_events_come_while_it_runs(home: Path) -> None:
    """Over a real connection, one that is open when the gateway is stopped does not hold it up."""
    with serving("up", home) as (process, _, address), httpx.Client(base_url=address, timeout=60) as client:
        with client.stream("GET", f"{SPACE}/events") as events:
            lines = events.iter_lines()
            assert next(lines) == ": helamem"
            client.post(f"{SPACE}/messages", json=SAID)
            assert next(line for line in lines if line.startswith("event")) == "event: conversation.message.v1"
            process.send_signal(signal.SIGTERM)
            assert "data" in next(lines)
            assert list(lines) == [""]
        assert ended(process).code == 0


@pytest.mark.slow
def test_commands_on_a_served_home_go_through_the_gateway(
    home: Path, chat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They answer as on a home that nobody serves; what needs it to itself says who has it."""
    alone = home.with_name("alone")
    with serving("up", home) as (process, _, _):
        assert (home / "served.json").stat().st_mode & 0o777 == 0o600
        asked: dict[str, list[Ran]] = {}
        for place in (home, alone):
            asked[place.name] = [
                run("ingest", chat, "--home", place),
                run(
                    "recall",
                    "Where does Mira live?",
                    "--space",
                    "acme/mira",
                    "--as-of",
                    "2025-06-01T00:00:00Z",
                    "--home",
                    place,
                ),
                run("facts", "--home", place),
                run("spaces", "--home", place),
                run("profile", "acme/mira", "--as-of", "2025-06-01T00:00:00Z", "--home", place),
                run("recall", "Who?", "--space", "acme/nobody", "--home", place),
            ]
        for served, own in zip(*asked.values(), strict=True):
            assert served.code == own.code, served.err
            if served.code == 0:
                told, expected = ({**ran.json, "recall_id": 0, "seconds": 0} for ran in (served, own))
                # Who serves the home counts what became of messages, and not the command.
                assert told == {k: v for k, v in expected.items() if k not in COUNTED}
            else:
                assert served.err == own.err.replace(str(alone), str(home))
        recalled = asked["home"][1].json
        ids = [hit["id"] for hit in recalled["results"][:2]]
        assert run("reinforce", recalled["recall_id"], *ids, "--home", home).code == 0
        monkeypatch.setenv("HELAMEM_RERANKER", f"onnx:{alone}")  # the command's, and not that of who serves the home
        assert run("recall", "Who?", "--space", "acme/mira", "--home", home).err == ""
        refused = run("edges", "--home", home)
        assert (refused.code, refused.out) == (2, "")
        assert f"is being written by process {process.pid}" in refused.err
        process.terminate()
        assert ended(process).code == 0
    assert not (home / "served.json").exists()
    digests = [run("digest", "--space", "acme/tom", "--home", place).json["digest"] for place in (home, alone)]
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_what_a_killed_gateway_left_is_told(home: Path) -> None:
    """Where another process writes the home and nobody answers at the address that stands there."""
    with serving("up", home) as (process, _, _):
        process.kill()
        process.communicate()
    assert (home / "served.json").exists()
    assert run("spaces", "--home", home).json == {"spaces": {}}
    with_nobody = start("run", "--home", home)
    assert with_nobody.stderr is not None
    logged(with_nobody.stderr.readline())
    ran = run("spaces", "--home", home)
    with_nobody.terminate()
    assert ended(with_nobody).code == 0
    assert ran.code == 1
    assert "does not answer" in ran.err


def test_a_fleet_s_gateway_lets_nobody_in_unseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond loopback it takes a file of keys, which has to be there; a home and a fleet are not meant both."""
    ran = run("gateway", "--kafka", "--host", "0.0.0.0", "--port", 0)  # noqa: S104 - it is refused
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "others can reach 0.0.0.0, and no key says who may ask" in logged(ran.err)
    file = tmp_path / "keys.json"
    monkeypatch.setenv("HELAMEM_GATEWAY_KEYS", str(file))
    ran = run("gateway", "--kafka", "--port", 0)
    assert (ran.code, ran.out) == (2, "")
    assert f"helamem keys add --file {file}" in logged(ran.err)
    ran = run("gateway", "--kafka", "--home", tmp_path)
    assert ran.code == 2
    assert "give one of --home" in ran.err


def test_keys_of_a_file(tmp_path: Path) -> None:
    """The same commands, without a home; what was appended today is known to each gateway alone."""
    file = tmp_path / "keys.json"
    made = run("keys", "add", "--file", file, "--tenant", "acme").json
    assert [one["id"] for one in run("keys", "list", "--file", file).json["keys"]] == [made["id"]]
    assert run("keys", "limit", "--file", file, "--tenant", "acme", "--rate", 5).json["today"] is None
    assert run("keys", "revoke", made["id"], "--file", file).json["revoked"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keys.json", "keys.lock"]
    assert run("keys", "list", "--file", tmp_path / "none" / "keys.json").code == 2


def test_a_first_key_is_made_once(tmp_path: Path) -> None:
    """Where there is a key, or was one, a start that makes the first one makes none, and says so."""
    file = tmp_path / "keys.json"
    add = ("keys", "add", "--first", "--file", file, "--tenant", "acme")
    made = run(*add)
    assert made.json["key"].startswith(f"helamem_{made.json['id']}_")
    for _ in range(2):
        ran = run(*add)
        assert (ran.code, ran.json) == (0, {"key": None})
        assert f"there are keys in {file} already, so none was made" in ran.err
        run("keys", "revoke", made.json["id"], "--file", file)
    assert len(run("keys", "list", "--file", file).json["keys"]) == 1
