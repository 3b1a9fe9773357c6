"""A process of the test that is killed, ended, frozen and started again; what it says is kept in a file."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

LEFT_TO_OTHERS = "by others", "left to other workers"
"""What a worker says that ends with 1 after SIGTERM: something was away, and others take again what it had begun."""
TRY_AGAIN = 75
"""Exit code of a process that could not begin because something is away (EX_TEMPFAIL): it is started again."""
END_S = 90.0
"""How long one that is asked to end may take: a worker takes 30 seconds at most, and the machine may be slow."""
_LOOK_S = 0.05
_START_AGAIN_S = 0.3


class Process:
    """A program that shall run, and is started again when it ends by itself with `TRY_AGAIN`.

    Args:
        name: Of its log.
        arguments: After the interpreter's name.
        directory: Where its log goes.
        environment: In addition to this process's own, without what is meant for tests.
    """

    def __init__(
        self, name: str, arguments: Sequence[object], directory: Path, environment: Mapping[str, object]
    ) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self.starts = 0
        self.problems: list[str] = []
        """Ends that nobody asked for and that a restart does not excuse."""
        self.turn = asyncio.Lock()
        """Held by the disturbance that it is under."""
        self._command = [sys.executable, *map(str, arguments)]
        own = {key: value for key, value in os.environ.items() if not key.startswith("HELAMEM_")}
        path = os.pathsep.join(entry for entry in sys.path if entry)
        self._environment = {**own, "PYTHONPATH": path, **{key: str(value) for key, value in environment.items()}}
        self._process: subprocess.Popen[bytes] | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def wanted(self) -> bool:
        """Whether it is meant to run."""
        return self._watching is not None

    def start(self) -> None:
        """Start it and look after it."""
        assert self._watching is None, f"{self.name} runs already"
        self._spawn()
        self._watching = asyncio.create_task(self._watch(), name=f"watch {self.name}")

    async def kill(self) -> None:
        """End it without giving it a chance."""
        await self._leave_alone()
        assert self._process is not None
        self._process.kill()
        await self._ended(END_S)
        self._note("killed")

    async def end(self) -> None:
        """Ask it to end (SIGTERM), and see that it does so in good order."""
        await self._leave_alone()
        assert self._process is not None
        self._process.terminate()
        begun = time.monotonic()
        try:
            code = await self._ended(END_S)
        except TimeoutError:
            self.problems.append(f"{self.name} did not end within {END_S:.0f} s of SIGTERM")
            self._process.kill()
            await self._ended(END_S)
            return
        self._note(f"ended with {code} {time.monotonic() - begun:.1f} s after SIGTERM")
        excused = code == 1 and any(words in self._last_words() for words in LEFT_TO_OTHERS)
        if not excused and code not in (0, TRY_AGAIN, -signal.SIGTERM):  # the last: before it could listen
            self.problems.append(f"{self.name} ended with {code} after SIGTERM")

    async def says(self, words: str, within_s: float) -> None:
        """Wait until its log holds these words.

        Raises:
            AssertionError: It did not say them in time.
        """
        deadline = time.monotonic() + within_s
        while words not in await asyncio.to_thread(self.log.read_text):
            assert time.monotonic() < deadline, (
                f"{self.name} did not say {words!r} within {within_s:.0f} s: {self._last_words()}"
            )
            await asyncio.sleep(_LOOK_S)

    def freeze(self) -> None:
        """Stop it where it stands; its connections stay."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGSTOP)
            self._note("frozen")

    def thaw(self) -> None:
        """Let it go on."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._note("goes on")

    async def close(self) -> None:
        """End it at once, whatever it does."""
        self.thaw()
        if self.wanted:
            await self.kill()

    def _spawn(self) -> None:
        self.starts += 1
        self._note(f"start {self.starts}")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment
            )

    async def _watch(self) -> None:
        while True:
            assert self._process is not None
            code = await self._ended(None)
            self._note(f"ended by itself with {code}")
            if code != TRY_AGAIN:
                self.problems.append(f"{self.name} ended by itself with {code}: {self._last_words()}")
            await asyncio.sleep(_START_AGAIN_S)
            self._spawn()

    async def _leave_alone(self) -> None:
        assert self._watching is not None, f"{self.name} does not run"
        watching, self._watching = self._watching, None
        watching.cancel()
        await asyncio.wait([watching])

    async def _ended(self, timeout_s: float | None) -> int:
        assert self._process is not None
        async with asyncio.timeout(timeout_s):
            while (code := self._process.poll()) is None:  # noqa: ASYNC110 - a process sets no event
                await asyncio.sleep(_LOOK_S)
        return code

    def _note(self, what: str) -> None:
        with self.log.open("a") as log:
            log.write(f"--- {time.strftime('%H:%M:%S')} {what}\n")

    def _last_words(self) -> str:
        return self.log.read_text()[-2000:]
