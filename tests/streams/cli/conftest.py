"""A home and a command line that runs in this process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helamem.streams.cli import main
from streams.cli.shell import Ran, message, write_lines


@pytest.fixture(autouse=True)
def _as_at_a_terminal() -> Iterator[None]:
    """Let commands that are started hear Ctrl-C: a run of the tests in the background does not, and they inherit it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where a home may be made."""
    return tmp_path / "home"


@pytest.fixture
def call(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Runs a command in this process, which is faster; the home is named by the environment."""
    monkeypatch.setenv("HELAMEM_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        code = exit_.value.code
        assert isinstance(code, int)
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    """A file with two spaces."""
    return write_lines(
        tmp_path / "chat.jsonl",
        message(1, "I moved to Bergen in March."),
        message(2, "The flat in Bergen has a view of the harbour."),
        message(3, "My brother Tom still lives in Lisbon."),
        message(4, "On Sundays I bake bread with rye flour."),
        message(5, "I moved to Tromsø, not to Bergen.", space="acme/tom"),
        message(6, "Northern lights over Tromsø last night.", space="acme/tom"),
    )
