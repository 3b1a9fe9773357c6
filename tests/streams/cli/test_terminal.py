"""What a person at a terminal sees."""

from __future__ import annotations

import json
from pathlib import Path

from streams.cli.shell import message, run, run_on_terminal, write_lines


def test_people_get_tables_and_programs_get_json(home: Path, chat: Path) -> None:
    """A terminal gets tables, and indented JSON where it asks for it; a pipe gets one line of JSON."""
    code, seen = run_on_terminal("ingest", chat, "--home", home)
    assert code == 0
    assert "encoded" in seen
    assert "{" not in seen
    code, seen = run_on_terminal("recall", "Who moved to Bergen?", "--space", "acme/mira", "--home", home)
    assert code == 0
    assert "I moved to Bergen in March." in seen
    assert "helamem reinforce " in seen
    _, seen = run_on_terminal("recall", "Bergen?", "--space", "acme/mira", "--home", home, "--context", "--no-emit")
    assert "Said:\r\n2025-01-01\r\n00:00 Mira: " in seen
    _, seen = run_on_terminal("snapshot", "--home", home)
    assert "the past of smaller ones is replayed" in seen
    for command in ("digest", "spaces", "facts", "edges", "dead-letters list", "lag", "settings"):
        code, seen = run_on_terminal(*command.split(), "--home", home)
        assert code == 0
        assert "{" not in seen
        code, seen = run_on_terminal(*command.split(), "--home", home, "--json")
        assert code == 0
        assert seen.startswith("{\r\n  ")
        piped = run(*command.split(), "--home", home)
        assert piped.out.count("\n") == 1
        assert json.loads(seen) == piped.json


def test_progress_is_shown_to_people_only(home: Path, tmp_path: Path) -> None:
    """Bars go to a terminal; standard error of a pipe stays empty."""
    lines = (message(n % 60, f"Line {n}.", message_id=str(n)) for n in range(3000))
    many = write_lines(tmp_path / "many.jsonl", *lines)
    _, seen = run_on_terminal("ingest", many, "--home", home)
    assert "reading" in seen
    assert "processing" in seen
    assert run("ingest", many, "--home", tmp_path / "other").err == ""


def test_what_strangers_wrote_steers_no_terminal(home: Path, tmp_path: Path) -> None:
    """Control characters of a message are not sent to the terminal, and markup is text."""
    lines = write_lines(tmp_path / "evil.jsonl", message(1, "Bergen \x1b[2J\x07 [red]alert[/red]"))
    run("ingest", lines, "--home", home)
    _, seen = run_on_terminal("recall", "Bergen", "--space", "acme/mira", "--home", home)
    assert "\x1b[2J" not in seen  # clears the screen
    assert "\x07" not in seen
    assert "[red]alert[/red]" in seen
