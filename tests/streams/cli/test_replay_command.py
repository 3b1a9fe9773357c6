"""`replay` with its options, as a shell sees them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from streams.cli.shell import Ran

Call = Callable[..., Ran]


@pytest.mark.slow
def test_the_output_of_digest_is_a_moment(call: Call, chat: Path, tmp_path: Path) -> None:
    """What it printed once can be rebuilt for ever; a replay goes on from there to now."""
    call("ingest", chat)
    (tmp_path / "then.json").write_text(call("digest").out)
    then = call("digest").json["digest"]
    recall_id = call("recall", "Who moved?", "--space", "acme/mira").json["recall_id"]
    now = call("digest").json
    assert now["digest"] != then
    until = ("--into", tmp_path / "then", "--until", tmp_path / "then.json")
    assert call("replay", *until).json["digest"] == then
    assert call("digest", "--home", tmp_path / "then").json["digest"] == then
    gone_on = call("replay", "--into", tmp_path / "then", "--from", tmp_path / "then.json").json
    assert gone_on["digest"] == now["digest"]
    assert {name: offset for name, offset in gone_on["positions"].items() if name in now["positions"]} == now[
        "positions"
    ]
    after = call("replay", "--into", tmp_path / "after", "--until", recall_id).json
    assert after["digest"] == now["digest"]


@pytest.mark.slow
def test_a_part_has_the_digest_of_that_part(call: Call, chat: Path, tmp_path: Path) -> None:
    """One space, or one kind of thing; a space of which there is nothing is mentioned."""
    call("ingest", chat)
    call("recall", "Who moved?", "--space", "acme/mira")
    whole = call("digest").json
    one = call("replay", "--into", tmp_path / "one", "--spaces", "acme/tom,acme/nobody")
    assert one.json["spaces"] == {"acme/tom": whole["spaces"]["acme/tom"]}
    assert "nothing of the space acme/nobody" in one.err
    links = call("replay", "--into", tmp_path / "links", "--only", "edges").json["parts"]["acme/mira"]
    assert links["edges"] == whole["parts"]["acme/mira"]["edges"]
    assert links["counts"] == {"memories": 0, "edges": whole["parts"]["acme/mira"]["counts"]["edges"], "facts": 0}


def test_what_makes_no_sense_is_refused(call: Call, chat: Path, tmp_path: Path) -> None:
    """In one sentence, and no directory is left behind."""
    call("ingest", chat)
    into = ("--into", tmp_path / "new")
    for options in (
        ("--until", "no-such-event"),
        ("--from", "2099-01-01T00:00:00Z"),
        ("--spaces", "no space"),
        ("--until", "1999-01-01T00:00:00Z"),
    ):
        ran = call("replay", *into, *options)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert not (tmp_path / "new").exists()
    assert call("replay", *into, "--only", "everything").code == 2
