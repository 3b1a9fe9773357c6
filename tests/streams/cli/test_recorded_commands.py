"""What the owner changes by commands is told by `helamem access`, where it is told who asks a gateway."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from helamem.schemas.topics import TOPICS
from helamem.streams.access.reading import accesses
from helamem.streams.cli.recorded import record_command
from helamem.streams.gateway.keys import Keys
from helamem.streams.home import wall_clock_ms
from helamem.streams.log.sqlite import SqliteLog
from streams.cli.shell import Ran

Call = Callable[..., Ran]
FORGET = ("forget", "--older-than-days", 10, "--as-of", "2025-02-01T00:00:00Z")


@pytest.mark.slow
@pytest.mark.broad
def test_the_owner_is_named_for_what_commands_change(call: Call, chat: Path) -> None:
    """Of each space once it is done, where there are keys; not what is only looked at, nor what hid nothing."""

    def told() -> list[tuple[str, str, int]]:
        found = call("access", "--key", "owner").json["accesses"]
        return sorted((one["did"], one["space"], one["status"]) for one in found)

    assert call("ingest", chat).code == 0
    run = call(*FORGET, "--space", "acme/mira", "--yes").json["run"]
    assert told() == []
    assert call("keys", "add", "--tenant", "acme").code == 0
    assert call("restore", "--run", run).code == 0
    done = [("helamem restore", "acme/mira", 200)]
    assert told() == sorted(done)
    assert call(*FORGET, "--tenant", "acme", "--dry-run").json["memories"]
    assert call("erase", "Mira", "--space", "acme/mira", "--dry-run").json["memories"]
    assert call("recall", "Who moved?", "--space", "acme/mira", "--no-emit").json["results"]
    assert told() == sorted(done)
    for again in (False, True):
        assert bool(call(*FORGET, "--tenant", "acme", "--yes").json["run"]) != again
    done += [("helamem forget", "acme/mira", 200), ("helamem forget", "acme/tom", 200)]
    assert told() == sorted(done)
    assert call("erase", "Mira", "--space", "acme/mira").code == 0
    assert told() == sorted([*done, ("helamem erase", "acme/mira", 200)])


@pytest.mark.parametrize(
    ("at", "variables", "times"),
    [
        ("home", {}, 0),
        ("home", {"HELAMEM_GATEWAY_KEYS": "keys.json"}, 0),
        ("home", {"HELAMEM_OIDC_ISSUER": "https://login.acme.example"}, 1),
        ("fleet", {}, 0),
        ("fleet", {"HELAMEM_GATEWAY_KEYS": "keys.json"}, 1),
        ("fleet", {"HELAMEM_OIDC_ISSUER": "https://login.acme.example"}, 1),
    ],
)
async def test_it_is_recorded_where_callers_have_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str, variables: dict[str, str], times: int
) -> None:
    """Of a home also by an issuer, of a fleet by what is set for its gateways; once for each space."""
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    async with await SqliteLog.open(tmp_path / "log.sqlite", TOPICS, wall_clock_ms) as log:
        await record_command(log, None if at == "fleet" else tmp_path, "erase", ["acme/a", "acme/b", "acme/a"])
        found = [(one.caller, one.did, one.space) for one in await accesses(log, most=9)]
        assert sorted(found) == [("owner", "helamem erase", space) for space in ("acme/a", "acme/b")] * times
        Keys(tmp_path).add(tenant="acme", spaces=("*",), rights=("recall",), note="", per_s=None, clock=wall_clock_ms)
        await record_command(log, tmp_path, "forget", ["acme/a"])
        assert "helamem forget" in [one.did for one in await accesses(log, most=9)]
