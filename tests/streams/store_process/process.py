"""A store process as a test's own: started, killed, started again."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from contracts.store_contract import DIMENSION
from helamem.streams.store_process.client import RemoteStore
from streams.cli.shell import Ran, ended, start


class StoreProcess:
    """`helamem store` on a home.

    Args:
        home: Its directory.
        options: Of the command.
    """

    def __init__(self, home: Path, options: Sequence[object] = ("--dimension", DIMENSION)) -> None:
        self.home = home
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it says that it serves."""
        self._process = start("store", "--home", self.home, *self._options)
        assert self._process.stderr is not None
        said = self._process.stderr.readline()
        assert f"serving the store of {self.home} at " in said, said + self._process.stderr.read()

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> Ran:
        """Wait for its end."""
        assert self._process is not None
        process, self._process = self._process, None
        return ended(process)

    def kill(self) -> None:
        """End it without giving it a chance."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self.wait()

    def stop(self) -> Ran:
        """End it in good order."""
        self.signal(signal.SIGTERM)
        return self.wait()

    async def connect(self) -> RemoteStore:
        return await RemoteStore.open(self.home, dimension=DIMENSION)
