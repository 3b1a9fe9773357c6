"""`digest`, `dead-letters`, `settings`, `forget` and `restore`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from helamem.schemas.records import NewRecord
from helamem.schemas.settings import Settings
from helamem.schemas.topics import CONVERSATIONS, TOPICS
from helamem.streams.home import Home, wall_clock_ms
from helamem.streams.log.sqlite import SqliteLog
from streams.cli.shell import Ran

Call = Callable[..., Ran]


@pytest.fixture(autouse=True)
def _ingested(call: Call, chat: Path) -> None:
    assert call("ingest", chat).code == 0


def test_a_digest_names_its_spaces_positions_and_settings(call: Call) -> None:
    """Each space and each part has one; the positions are those of all processed partitions."""
    answer = call("digest").json
    form = re.compile(r"sha256:[0-9a-f]{64}")
    assert form.fullmatch(answer["digest"])
    assert answer["spaces"].keys() == {"acme/mira", "acme/tom"}
    assert all(form.fullmatch(digest) for digest in answer["spaces"].values())
    assert answer["parts"]["acme/mira"]["counts"] == {"memories": 4, "edges": 0, "facts": 0}
    assert len(answer["positions"]) == 20
    assert sum(answer["positions"].values()) == 6 + 8  # the messages, and the settings of every governed partition
    assert msgspec.convert(answer["settings"], Settings) == Settings()


def test_a_digest_of_one_space(call: Call) -> None:
    """A space's digest is the same alone and among others; a space that is not there is refused."""
    everything = call("digest").json["spaces"]
    assert call("digest", "--space", "acme/tom").json["spaces"] == {"acme/tom": everything["acme/tom"]}
    assert call("digest", "--space", "acme/nobody").code == 2


def test_the_digest_is_of_the_whole_log(call: Call) -> None:
    """It processes first: a recall just made is in it; without processing it is not."""
    before = call("digest").json["digest"]
    call("recall", "Who moved?", "--space", "acme/mira")
    assert call("digest", "--no-process").json["digest"] == before
    assert call("digest").json["digest"] != before


def test_a_poison_record_is_put_aside_and_listed(call: Call, home: Path) -> None:
    """It stops nobody; the command that met it says so, and the list names position and reason."""

    async def spoil() -> None:
        with Home.open(home) as opened:
            async with await SqliteLog.open(opened.log_path, TOPICS, wall_clock_ms) as log:
                await log.append([NewRecord(topic=CONVERSATIONS.name, key=b"acme/mira", value=b"{torn")])

    assert call("dead-letters", "list").json == {"count": 0, "dead_letters": []}
    before = call("digest").json["digest"]
    asyncio.run(spoil())
    ran = call("digest")
    assert (ran.code, ran.json["digest"]) == (0, before)
    assert "records put aside because they could not be processed: 1; see: helamem dead-letters list" in ran.err
    listed = call("dead-letters", "list").json
    assert listed["count"] == 1
    (letter,) = listed["dead_letters"]
    assert (letter["group"], letter["topic"]) == ("encoding", CONVERSATIONS.name)
    assert "JSON" in letter["reason"]
    assert call("digest").err == ""


def test_settings_are_shown_and_changed(call: Call) -> None:
    """A change is validated, stands in the log, holds from then on, and is not repeated."""
    before = call("settings").json["settings"]
    changed = call("settings", "--set", "hebbian.eta_recalled=0.01", "--set", "hebbian.half_life_s=86400")
    assert changed.code == 0
    expected = {**before, "hebbian": {**before["hebbian"], "eta_recalled": 0.01, "half_life_s": 86400}}
    assert changed.json["settings"] == call("settings").json["settings"] == expected
    positions = call("digest").json["positions"]
    call("settings", "--set", "hebbian.eta_recalled=0.01")
    assert call("digest").json["positions"] == positions
    call("recall", "Who moved?", "--space", "acme/mira")
    assert {edge["weight"] for edge in call("edges").json["edges"]} == {0.01}


def test_bad_settings_are_refused(call: Call) -> None:
    """Nothing of the command is applied."""
    before = call("settings").json
    for change, complaint in (
        ("hebbian.eta_recalled=2", "hebbian.eta_recalled must be at most 1"),
        ("hebbian.eta_recalled=fast", "hebbian.eta_recalled must be a number"),
        ("hebbian.eta_recalled", "has no value"),
        ("hebbian.nonsense=1", "there is no setting hebbian.nonsense"),
        ("encoding.embedder=openai:x", "replay the log into another home"),
        ("logic_version=2", "cannot be changed in place"),
        ("forgetting.budget=0", "forgetting.budget must be at least 1"),
        ("forgetting.protected=all", "forgetting.protected[0] must be facts, hubs, user, agent or speaker:NAME"),
        ("forgetting.protected=user,agent", "nothing could ever be forgotten"),
        ("forgetting.weaker_than=nan", "forgetting.weaker_than"),
        ("forgetting_of.acme.budget=1", "there is no setting forgetting_of.acme.budget"),
    ):
        ran = call("settings", "--set", "hebbian.hub_degree=5", "--set", change)
        assert (ran.code, ran.out) == (2, ""), change
        assert complaint in ran.err
    of_tenant = call("settings", "--tenant", "acme", "--set", "hebbian.hub_degree=5")
    assert "hebbian.hub_degree is the same for all tenants" in of_tenant.err
    assert call("settings").json == before


@pytest.mark.slow
def test_forgetting_shows_first_and_can_be_undone(call: Call) -> None:
    """A dry run changes nothing; what is forgotten is not recalled; restored, everything is as it was."""
    before = call("digest").json["digest"]
    forget = ("forget", "--space", "acme/mira", "--older-than-days", 10, "--as-of", "2025-02-01T00:00:00Z")
    dry = call(*forget, "--dry-run")
    assert (dry.code, dry.json["dry_run"], dry.json["run"], len(dry.json["memories"])) == (0, True, None, 4)
    first = dry.json["memories"][0]
    assert (first["age_days"], first["reason"], first["last_recalled"]) == (30, "faded", None)
    assert dry.json["counts"] == {"faded": 4, "over-budget": 0}
    (space,) = dry.json["spaces"]
    assert (space["memories"], space["policy"]["older_than_days"], space["policy"]["weaker_than"]) == (4, 10, 0.02)
    assert call("digest").json["digest"] == before
    wet = call(*forget, "--yes")
    run = wet.json["run"]
    assert wet.json == dry.json | {"dry_run": False, "run": run}
    assert call("recall", "Who moved?", "--space", "acme/mira", "--no-emit").json["results"] == []
    assert call("recall", "Who moved?", "--space", "acme/tom", "--no-emit").json["results"]
    assert call(*forget, "--dry-run").json["memories"] == []
    assert call(*forget, "--yes").json["run"] is None
    ids = [memory["memory_id"] for memory in dry.json["memories"]]
    some = call("restore", "--space", "acme/mira", *ids[:1])
    assert some.json == {"run": None, "restored": {"acme/mira": ids[:1]}}
    assert call("restore", "--run", run).json == {"run": run, "restored": {"acme/mira": ids[1:]}}
    assert call("digest").json["digest"] == before
    again = call("restore", "--space", "acme/mira", *ids)
    assert (again.code, again.json["restored"]) == (0, {"acme/mira": []})
    assert "not hidden in the first place: 4" in again.err
    assert "there is no run of forgetting unknown in the log" in call("restore", "--run", "unknown").err


@pytest.mark.slow
def test_each_tenant_forgets_by_its_own_policy(call: Call, chat: Path) -> None:
    """It stands in the settings; it begins as that of all and can be taken away; options change single values."""
    chat.write_text(chat.read_text().replace("acme/", "globex/"))
    call("ingest", chat)
    call("settings", "--set", "forgetting.protected=user,speaker:Tom", "--set", "forgetting.every_days=7")
    own = call("settings", "--tenant", "globex", "--set", "forgetting.budget=1", "--set", "forgetting.protected=none")
    shown = call("settings").json["settings"]
    assert shown == own.json["settings"]
    assert shown["forgetting"]["protected"] == ["user", "speaker:Tom"]
    assert (shown["forgetting"]["budget"], shown["forgetting"]["every_days"]) == (None, 7)
    assert shown["forgetting_of"] == {"globex": shown["forgetting"] | {"budget": 1, "protected": []}}
    when = ("--dry-run", "--as-of", "2025-02-01T00:00:00Z")
    found = call("forget", "--tenant", "globex", *when).json
    assert [(one["space"], one["counts"]["over-budget"]) for one in found["spaces"]] == [
        ("globex/mira", 3),
        ("globex/tom", 1),
    ]
    other = call("forget", "--tenant", "acme", "--older-than-days", 1, *when).json
    assert (other["memories"], [one["spared"] for one in other["spaces"]]) == ([], [{"user": 4}, {"user": 2}])
    both = call("forget", "--tenant", "acme", "--older-than-days", 1, "--protect", "hubs", *when).json
    assert both["counts"] == {"faded": 6, "over-budget": 0}
    gone = call("settings", "--tenant", "globex", "--set", "forgetting=default").json["settings"]
    assert gone == shown | {"forgetting_of": {}}
    assert "no space of the tenant initech" in call("forget", "--tenant", "initech", "--dry-run").err


@pytest.mark.slow
def test_each_condition_of_forgetting_counts(call: Call) -> None:
    """What is young, what is strong and what was recalled lately stays."""
    call("recall", "Who moved?", "--space", "acme/mira", "--as-of", "2025-01-01T00:10:00Z")
    base = ("forget", "--space", "acme/mira", "--dry-run", "--as-of", "2025-02-01T00:00:00Z")
    options = {"--older-than-days": 10, "--weaker-than": 0.5, "--not-recalled-for-days": 10}

    def count(**changes: float) -> int:
        chosen = options | {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
        return len(call(*base, *[part for option in chosen.items() for part in option]).json["memories"])

    assert count() == 4
    assert count(older_than_days=40) == 0
    assert count(weaker_than=0.000001) == 0
    assert count(not_recalled_for_days=31) == 0


def test_only_memories_that_exist_are_restored(call: Call) -> None:
    """An id of another space is none of this one."""
    other = call("recall", "Who moved?", "--space", "acme/tom").json["results"][0]["id"]
    ran = call("restore", "--space", "acme/mira", other)
    assert ran.code == 2
    assert f"has no memory {other}" in ran.err
