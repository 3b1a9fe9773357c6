"""What `--help` says, how fast, and how usage errors end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from helamem.streams import cli
from streams.cli.shell import Ran, run

ONLY_HELP = """
import sys
from helamem.streams.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
slow = {"numpy", "cryptography", "fsspec", "qdrant_edge", "qdrant_client", "wordllama", "faust", "aiokafka"}
slow &= sys.modules.keys()
assert not slow, slow
"""


def leaves(command: Any, name: str = "helamem") -> Iterator[tuple[str, Any]]:
    """Yield every command with its full name, those of groups too."""
    if inner := getattr(command, "commands", None):
        for part, below in inner.items():
            yield from leaves(below, f"{name} {part}")
    else:
        yield name, command


WITHOUT_HOME = {
    "helamem demo",
    "helamem eval locomo",
    "helamem eval longmemeval",
    "helamem eval pairs",
    "helamem config",
    "helamem worker",
    "helamem merge",
    "helamem play",
    "helamem rebuild",
    "helamem topics show",
    "helamem topics apply",
    "helamem topics migrate",
    "helamem audit keygen",
    "helamem audit prove",
}
COMMANDS = dict(leaves(get_command(cli.app())))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    """A command says what it does and shows a call; each argument and option says what it is for."""
    command = COMMANDS[name]
    assert (command.help or "").strip().split("\n")[0].endswith((".", ":")), "say in a sentence what it does"
    assert f"Example: {name}" in (command.epilog or ""), "show a call"
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"say what {parameter.name} is for"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_a_home_and_prints_json_on_request(name: str) -> None:
    """`--home` and `--json` mean the same everywhere."""
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert {"--json"} <= options
    assert "--home" in options or name in WITHOUT_HOME


def test_every_module_with_commands_is_registered() -> None:
    """A module that was forgotten in the list would be dead code."""
    assert cli.__file__ is not None
    files = Path(cli.__file__).parent.glob("*.py")
    with_commands = {file.stem for file in files if "\ndef register(" in file.read_text()}
    assert with_commands == {group.__name__.rpartition(".")[2] for group in cli._GROUPS}


def test_help_imports_nothing_slow() -> None:
    """Neither arrays nor the engine nor the embedder is loaded to print help."""
    subprocess.run([sys.executable, "-c", ONLY_HELP], check=True, capture_output=True)


def test_the_module_can_be_run() -> None:
    """`python -m helamem.streams.cli` is the command line; help and version end well."""
    assert "Usage: helamem" in run("--help").out
    assert run("--version").out.startswith("helamem ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-command",),
        ("spaces", "--no-such-option"),
        ("recall", "a question without a space"),
        ("recall", "q", "--space", "a/b", "-k", "0"),
        ("recall", "q", "--space", "a/b", "-k", "many"),
        ("ingest", "file", "--format", "xml"),
        ("reinforce", "recall-without-memories"),
        ("forget", "--space", "a/b"),
        ("forget", "--dry-run"),
        ("forget", "--space", "a/b", "--tenant", "a", "--dry-run"),
        ("forget", "--tenant", "a/b", "--dry-run"),
        ("forget", "--space", "a/b", "--dry-run", "--budget", "0"),
        ("forget", "--space", "a/b", "--dry-run", "--weaker-than", "nan"),
        ("forget", "--space", "a/b", "--dry-run", "--older-than-days", "-1"),
        ("forget", "--space", "a/b", "--dry-run", "--protect", "everything"),
        ("forget", "--space", "a/b", "--dry-run", "--protect", "user", "--protect", "agent"),
        ("forget", "--space", "a/b", "--dry-run", "--kafka", "--home", "somewhere"),
        ("restore",),
        ("restore", "an-id"),
        ("restore", "an-id", "--space", "a/b", "--run", "a-run"),
        ("settings", "--tenant", "acme"),
        ("settings", "--tenant", "acme/mira", "--set", "forgetting.budget=1"),
        ("forget", "--space", "a/b", "--dry-run", "--yes"),
        ("ingest", "file", "--kafka", "--home", "somewhere"),
        ("lag", "--kafka", "--home", "somewhere"),
        ("dead-letters", "redrive"),
        ("dead-letters", "redrive", "--all", "an-id"),
        ("worker", "everything"),
    ],
)
def test_bad_usage_is_exit_code_2(call: Callable[..., Ran], home: Path, arguments: tuple[str, ...]) -> None:
    """The sentence goes to standard error, nothing to standard output, and no home is made."""
    ran = call(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err
    assert "Traceback" not in ran.err
    assert not home.exists()
