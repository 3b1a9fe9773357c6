"""A gateway as a process."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.cli.shell import ended, logged, start


@contextmanager
def serving(home: Path, command: str = "up") -> Iterator[str]:
    """Start `helamem up`, or another command that serves, and give its address; end it in good order."""
    process = start(command, "--home", home, "--port", 0)
    assert process.stderr is not None
    try:
        yield logged(process.stderr.readline()).split(" at ")[1].split(";")[0]
        process.send_signal(signal.SIGTERM)
        ran = ended(process)
        assert (ran.code, ran.err) == (0, "")
    finally:
        process.kill()
        process.communicate()
