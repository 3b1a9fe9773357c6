"""The real command line, as a shell sees it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

LIMITED = """
import resource, sys
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), hard))  # no file may grow past this
from helamem.streams.cli import main
main()
"""


class Ran(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed: one document, and nothing else."""
        return json.loads(self.out)


def logged(line: str) -> str:
    """Return the sentence of a line that a long-running command logged."""
    return str(json.loads(line)["event"])


def _environment() -> dict[str, str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    for name in ("HELAMEM_HOME", "FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS"):
        environment.pop(name, None)
    return environment | {"COLUMNS": "200", "TERM": "xterm"}


def start(*arguments: object, program: Sequence[str] = ("-m", "helamem.streams.cli")) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(),
    )


def ended(process: subprocess.Popen[str]) -> Ran:
    """Wait for a command."""
    out, err = process.communicate(timeout=60)
    return Ran(process.returncode, out, err)


def run(*arguments: object) -> Ran:
    """Run a command in a process of its own."""
    return ended(start(*arguments))


def run_with_little_disk(most_bytes: int, *arguments: object) -> Ran:
    """Run a command for which no file may grow past a size."""
    return ended(start(most_bytes, *arguments, program=("-c", LIMITED)))


def run_on_terminal(*arguments: object) -> tuple[int, str]:
    """Run a command in front of a terminal; return its exit code and all that the terminal saw."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "helamem.streams.cli", *map(str, arguments)]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=_environment())
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:  # the other end is closed: the command has ended
        pass
    os.close(ours)
    return process.wait(timeout=60), seen.decode()


def write_lines(path: Path, *lines: object) -> Path:
    """Write a file of JSON lines; text and bytes stand as they are."""
    raw = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    path.write_bytes(b"".join(line + b"\n" for line in raw))
    return path


def message(number: int, text: str, *, space: str = "acme/mira", **other: object) -> dict[str, object]:
    """Return a message as a line of a file."""
    return {
        "space": space,
        "conversation": "c",
        "message_id": f"m{number}",
        "speaker": "Mira",
        "time": f"2025-01-01T00:00:{number:02}Z",
        "text": text,
    } | other
