"""What the README and docs say is run and looked up here."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from fakes.chat_service import chatting, quoting

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
AUDIT = (ROOT / "docs" / "audit.md").read_text()
MAKE = shutil.which("make") or "make"
CURL = shutil.which("curl") or "curl"
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
_LINK = re.compile(r"\]\(([^)#]+)\)")
_FILE = re.compile(r"`((?:schemas|processors|streams|tests|benchmarks|deploy)/[\w/.-]+)`")
_FUNCTION = re.compile(r"`((?:schemas|processors|streams)/[\w/]+\.py)`,?\s*\(?((?:`[\w.]+`[,;\s]*(?:then\s)?)+)\)")


def _blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def _helamem(line: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "helamem.streams.cli", *shlex.split(line)[1:]],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{line}: {done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_readme_commands_do_what_they_say(tmp_path: Path) -> None:
    """Every helamem command of the README runs as written, on the README's own example file."""
    (tmp_path / "chat.jsonl").write_text("\n".join(_blocks("json")))
    recall_id, memory_ids = "", list[str]()
    ran = []
    for block in _blocks("console")[1:]:
        for command in block.strip().splitlines():
            assert command.startswith("helamem "), f"{command} is run by no test"
            line = command.replace("RECALL_ID", recall_id)
            for memory_id in memory_ids[:2]:
                line = line.replace("MEMORY_ID", memory_id, 1)
            answer = json.loads(_helamem(line, tmp_path))
            ran.append(command.split()[1])
            if ran[-1] == "recall":
                recall_id = answer["recall_id"]
                memory_ids = [result["id"] for result in answer["results"]]
            if ran[-1] == "digest":
                digests = answer["digest"]
            if command == "helamem digest --home rebuilt":
                assert answer["digest"] == digests
    assert ran == [
        "ingest",
        "recall",
        "spaces",
        "digest",
        "replay",
        "digest",
        "reinforce",
        "edges",
        "facts",
        "why",
        "trace",
        "profile",
        "profile",
        "recall",
        "audit",
        "archive",
        "audit",
        "digest",
        "restore-log",
    ]


@pytest.mark.slow
def test_commands_of_the_lineage_page_run(tmp_path: Path) -> None:
    """Every command of docs/lineage.md runs on the demo's home, with ids that the commands it names print."""
    _helamem("helamem demo --keep helamem-home", tmp_path)
    fact = json.loads(_helamem("helamem facts", tmp_path))["facts"][0]
    edge = json.loads(_helamem("helamem edges --space demo/ada --limit 1", tmp_path))["edges"][0]
    known = json.loads(_helamem(f"helamem why {fact['id']}", tmp_path))["why"]
    recalls = [child["id"] for child in known["children"][0]["children"][1]["children"] if child["kind"] == "recalled"]
    ran = 0
    for block in _blocks("console", (ROOT / "docs" / "lineage.md").read_text()):
        for command in block.strip().splitlines():
            line = command.replace("FACT_ID", fact["id"]).replace("EVENT_ID", known["children"][0]["cause"])
            for memory_id in edge["memory_ids"]:
                line = line.replace("MEMORY_ID", memory_id, 1)
            line = line.replace("RECALL_ID", recalls[0]).replace("acme/mira", fact["space"])
            assert json.loads(_helamem(line, tmp_path))
            ran += 1
    assert ran == 7


@pytest.mark.slow
def test_commands_of_the_erasure_page_run(tmp_path: Path) -> None:
    """Every command of docs/erasure.md runs as written; home, replay and archive agree on what is left."""
    (tmp_path / "chat.jsonl").write_text("\n".join(_blocks("json")))
    answers = {}
    for block in _blocks("console", (ROOT / "docs" / "erasure.md").read_text()):
        for command in block.strip().splitlines():
            answers[command] = json.loads(_helamem(command, tmp_path))
    erased = answers["helamem erase Mira --space acme/mira"]
    assert (erased["memories"], erased["keys"], sum(erased["remains"].values())) == (2, 2, 0)
    left = json.loads(_helamem("helamem digest", tmp_path))["digest"]
    assert left == answers["helamem replay --into rebuilt"]["digest"]
    assert left == answers["helamem digest --archive archive --keys helamem-home/keys"]["digest"]
    verified = json.loads(_helamem("helamem audit verify --archive archive --public-key archiver.pub.pem", tmp_path))
    assert verified["findings"] == []
    assert len(answers) == 9


@pytest.mark.slow
def test_commands_of_the_forgetting_page_run(tmp_path: Path) -> None:
    """Every command of docs/forgetting.md runs as written; what it shows goes, and comes back."""
    (tmp_path / "chat.jsonl").write_text("\n".join(_blocks("json")).replace("2025-", "2020-"))
    _helamem("helamem ingest chat.jsonl --space acme/mira", tmp_path)
    before = json.loads(_helamem("helamem digest", tmp_path))["digest"]
    (block,) = _blocks("console", (ROOT / "docs" / "forgetting.md").read_text())
    policy, dry, wet, undo = block.strip().splitlines()
    assert json.loads(_helamem(policy, tmp_path))["settings"]["forgetting_of"]["acme"]["budget"] == 2
    shown, done = (json.loads(_helamem(line, tmp_path)) for line in (dry, wet))
    assert shown["memories"]
    assert shown["memories"] == done["memories"]
    restored = json.loads(_helamem(undo.replace("RUN_ID", done["run"]), tmp_path))
    assert restored["restored"] == {"acme/mira": [one["memory_id"] for one in done["memories"]]}
    assert json.loads(_helamem("helamem digest", tmp_path))["digest"] == before


@pytest.mark.slow
def test_commands_of_the_replay_page_run(tmp_path: Path) -> None:
    """Every command of docs/replay.md runs as written, on the README's own example file."""
    (tmp_path / "chat.jsonl").write_text("\n".join(_blocks("json")))
    _helamem("helamem ingest chat.jsonl --space acme/mira", tmp_path)
    _helamem('helamem recall "Where does Mira live?" --space acme/mira', tmp_path)
    answers = {}
    for block in _blocks("console", (ROOT / "docs" / "replay.md").read_text()):
        for command in block.strip().splitlines():
            line, _, into = command.partition(" > ")
            answer = _helamem(line, tmp_path)
            answers[command] = json.loads(answer)
            if into:
                (tmp_path / into).write_text(answer)
    digests = {
        answer["digest"] for command, answer in answers.items() if "digest" in answer and "--only" not in command
    }
    assert len(digests) == 1
    assert answers["helamem diff then.json now"]["equal"]
    states = [answer["state"] for answer in answers.values() if "state" in answer]
    public_key = next(answer["public_key_hex"] for answer in answers.values() if "public_key_hex" in answer)
    assert [one["snapshot"] and one["snapshot"]["signed_by"] for one in states] == [None, public_key]
    assert len(answers) == 14


@pytest.mark.slow
def test_commands_of_the_distillation_page_run(tmp_path: Path) -> None:
    """With the page's settings, at another address: the facts of the demo are written by the model."""
    text = (ROOT / "docs" / "distillation.md").read_text()
    (settings,) = _blocks("toml", text)
    _helamem("helamem demo --keep helamem-home", tmp_path)
    with chatting() as service:
        service.reply = quoting
        (tmp_path / "helamem.toml").write_text(settings.replace("https://api.openai.com/v1", service.url))
        (block,) = _blocks("console", text)
        config, _, facts = (json.loads(_helamem(line, tmp_path)) for line in block.strip().splitlines())
    assert {one["name"]: one["value"] for one in config["settings"]}["distiller"] == "openai:gpt-4o-mini"
    assert facts["facts"]


@pytest.mark.slow
def test_commands_of_the_gateway_page_run(tmp_path: Path) -> None:
    """Every curl of docs/gateway.md runs as written, at another port, and what docs/access.md says of keys holds."""
    install, asking = _blocks("console", (ROOT / "docs" / "gateway.md").read_text())
    keys, tokens, looking = _blocks("console", (ROOT / "docs" / "access.md").read_text())
    assert tokens.startswith("pip install 'helamem[gateway,oidc]'\n")  # its issuer is in tests/streams/gateway
    assert install == "pip install 'helamem[gateway]'\nhelamem up\n"
    line = json.loads(_blocks("json")[0].splitlines()[0])
    (tmp_path / "chat.jsonl").write_text(json.dumps({**line, "space": "acme/tom", "message_id": "1"}))
    up = [sys.executable, "-m", "helamem.streams.cli", "up", "--port", "0"]
    with subprocess.Popen(up, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            address = process.stderr.readline().split(" at http://")[1].split(";")[0]
            ids: dict[str, list[str]] = {"recall": [""], "memories": []}
            for command in asking.strip().splitlines():
                told = command.replace("localhost:8420", address).replace("RECALL_ID", ids["recall"][0])
                for id_ in ids["memories"][:2]:
                    told = told.replace("MEMORY_ID", id_, 1)
                done = subprocess.run(
                    [*shlex.split(told), "--fail-with-body"], cwd=tmp_path, capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
                answer = json.loads(done.stdout)
                if "/mira/recall " in command:
                    ids = {"recall": [answer["recall_id"]], "memories": [hit["id"] for hit in answer["results"]]}
            made, listed, limit, revoke = keys.strip().splitlines()
            key = json.loads(_helamem(made, tmp_path))
            refused = _curl(f"{address}/v1/spaces")
            assert json.loads(refused)["status"] == 401
            assert json.loads(_curl(f"{address}/v1/spaces", "-H", f"Authorization: Bearer {key['key']}"))["spaces"]
            assert len(json.loads(_helamem(listed, tmp_path))["keys"]) == 1
            assert json.loads(_helamem(limit, tmp_path))["messages_a_day"] == 100_000
            _curl(f"{address}/v1/spaces/acme/mira/facts", "-H", f"Authorization: Bearer {key['key']}")
            _helamem(revoke.replace("KEY_ID", key["id"]), tmp_path)
            assert (
                json.loads(_curl(f"{address}/v1/spaces", "-H", f"Authorization: Bearer {key['key']}"))["status"] == 401
            )
        finally:
            process.terminate()
    listings = [
        json.loads(_helamem(line.replace("KEY_ID", key["id"]), tmp_path))["accesses"]
        for line in looking.strip().splitlines()
    ]
    assert [[one["did"].split(" ")[0] for one in some] for some in listings] == [
        ["key", "GET", "key"],
        ["GET"],
        ["key", "GET", "key"],
    ]
    assert {one["key"] for some in listings for one in some} == {key["id"]}


def _curl(*arguments: str) -> str:
    return subprocess.run([CURL, "-s", *arguments], capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_audit_commands_do_what_they_say(tmp_path: Path) -> None:
    """Every command of docs/audit.md runs as written, and what they rebuild has the digest of the log."""
    (tmp_path / "chat.jsonl").write_text("\n".join(_blocks("json")))
    ingested = json.loads(_helamem("helamem ingest chat.jsonl --space acme/mira", tmp_path))
    assert ingested
    recalled = json.loads(_helamem('helamem recall "Where does Mira live?" --space acme/mira', tmp_path))
    digests = {json.loads(_helamem("helamem digest", tmp_path))["digest"]}
    (block,) = _blocks("console", AUDIT)
    ran = []
    for command in block.strip().splitlines():
        answer = json.loads(_helamem(command.replace("EVENT_ID", recalled["recall_id"]), tmp_path))
        ran.append(" ".join(command.split()[1:3]))
        if command.startswith("helamem audit verify"):
            assert answer["clean"]
        if "digest" in answer:
            digests.add(answer["digest"])
    digests.add(json.loads(_helamem("helamem digest --home restored", tmp_path))["digest"])
    assert len(digests) == 1
    assert len(ran) == 8
    script = [sys.executable, str(ROOT / "docs" / "verify_proof.py"), "proof.json", "archiver.pub.pem"]
    done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert recalled["recall_id"] in done.stdout


def test_readme_code_runs(tmp_path: Path) -> None:
    """The README's Python runs as written and recalls what it appended."""
    (code,) = _blocks("python")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "base Mira: We have moved from Lisbon to Bergen.\n"


@pytest.mark.slow
def test_make_demo_runs() -> None:
    """The README's first command works, and the rebuild gives the same digest."""
    assert _blocks("console")[0] == "make demo\nmake test\n"
    done = subprocess.run(
        [MAKE, "--silent", "demo"], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["digest"]["equal"]
    assert report["digest"]["hubs_equal"]
    assert report["facts"]
    for case in report["recall"]:
        before, after = ({hit["id"]: hit["path"] for hit in case[when]} for when in ("before", "after"))
        assert case["associated"] not in before
        assert after[case["associated"]] == "association"


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_what_a_page_names_exists(page: str) -> None:
    """Links lead somewhere, and every file that a page names is there."""
    text = (ROOT / page).read_text()
    for target in _LINK.findall(text):
        if not target.startswith("https://"):
            assert (ROOT / page).parent.joinpath(target).exists(), f"{page} links to {target}"
    for file in _FILE.findall(text):
        assert (ROOT / file).exists(), f"{page} names {file}"


def test_architecture_names_what_is_there() -> None:
    """Every function that docs/architecture.md names is defined in the file named beside it."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    found = _FUNCTION.findall(text)
    assert len(found) > 15
    for file, names in found:
        source = (ROOT / file).read_text()
        for name in re.findall(r"`([\w.]+)`", names):
            for part in name.split("."):
                assert re.search(rf"^\s*(?:async )?(?:def|class) {part}\b", source, flags=re.MULTILINE), (
                    f"{file}: {name}"
                )
    for name in re.findall(r"\(`(EdgeStore|Pump)\.(\w+)`\)", text):
        file = (
            "processors/helamem/processors/store/edge.py"
            if name[0] == "EdgeStore"
            else "streams/helamem/streams/pump.py"
        )
        assert f"def {name[1]}(" in (ROOT / file).read_text()


def test_the_changelog_says_each_thing_once() -> None:
    """Git keeps what both sides of a merge wrote there: no line stands in it twice, and no entry breaks off."""
    text = (ROOT / "CHANGELOG.md").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert [line for line, times in Counter(lines).items() if times > 1] == []
    ends = [line for line, after in pairwise(lines) if line.startswith(("- ", "  ")) and not after.startswith("  ")]
    assert [line for line in ends if not line.endswith(".")] == []
