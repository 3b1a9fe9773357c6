"""A store process of one's own: a child that serves a home's store to the process that started it, and ends with it.

What writes to Edge holds the interpreter, so a rebuild that reads, decodes and hashes in one process and writes in
another has the use of two processors. The child holds the home's lock together with its parent: whatever ends the
parent, nobody else can write there before the child has ended too.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from helamem.processors.store.edge import EdgeStore
from helamem.schemas.errors import ConfigurationError, HelamemError, RetryLater
from helamem.streams.home import Home
from helamem.streams.store_process.seldom import LateFlushed, SeldomFlushed
from helamem.streams.store_process.server import serve_held
from helamem.streams.switch_interval import yielding_sooner

T = TypeVar("T")

_NOTICE_S = 2.0
"""How long after a broken connection the end of the child is waited for."""
_REFUSED = 2
"""Exit code of a child that would end in the same way again."""
_PAUSE_POINTS = 128
"""Points from one pause to the next: nobody recalls meanwhile, and what comes in needs the interpreter now and then."""
_COLLECT_AFTER = 50_000
"""New objects after which the child looks for garbage: writes come in by the ten thousand and hold no circles."""


class ChildStore:
    """The child and its store.

    Attributes:
        store: Asks the child; what it is given last is durable once it was told to settle.
        pid: Of the child.
    """

    def __init__(self, pid: int, store: SeldomFlushed, end: asyncio.Task[HelamemError]) -> None:
        self.pid = pid
        self.store = store
        self._end = end

    async def serving(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` on the store returns; the store alone would have it wait for another process for ever.

        Raises:
            RetryLater: The child ended meanwhile, and `work` was given up.
        """
        doing = asyncio.create_task(work)
        try:
            await asyncio.wait({doing, self._end}, return_when=asyncio.FIRST_COMPLETED)
            if doing.done() and isinstance(doing.exception(), RetryLater):  # perhaps only the first to notice
                await asyncio.wait({self._end}, timeout=_NOTICE_S)
            if self._end.done():
                raise self._end.result()
            return doing.result()
        finally:
            doing.cancel()
            await asyncio.wait({doing})

    async def settle(self) -> None:
        """Return once all that was written, and the checkpoints, are on disk; to be done within `serving`."""
        await self.store.settle()


class OwnStore:
    """A store in this very process, where there is too little to write for a child to be worth its start.

    Args:
        store: The store; what it is given is durable once it was told to settle.
    """

    def __init__(self, store: LateFlushed) -> None:
        self.store = store

    async def serving(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` on the store returns."""
        return await work

    async def settle(self) -> None:
        """Return once all that was written, and the checkpoints, are on disk."""
        await self.store.settle()


@contextlib.asynccontextmanager
async def own_store(home: Home, *, dimension: int, language: str) -> AsyncIterator[OwnStore]:
    """Open the store of a home that this process holds, with the errors of `child_store`."""
    store = await LateFlushed.open(home.store_path, dimension=dimension, language=language, pause_points=_PAUSE_POINTS)
    try:
        yield OwnStore(store)
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def child_store(home: Home, *, dimension: int, language: str) -> AsyncIterator[ChildStore]:
    """Serve the store of a home that this process holds from a child, which is gone on return.

    Args:
        home: Opened for writing.
        dimension: Of the dense vectors.
        language: Of the keyword index.

    Raises:
        RetryLater: The store cannot be made or opened now.
        ConfigurationError: It is there and is for something else.
    """
    process = await asyncio.create_subprocess_exec(
        # -P: modules are not looked for in the directory that one happens to stand in.
        *(sys.executable, "-P", "-m", __name__, str(home.path), str(dimension), language),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=[home.lock_descriptor],
        start_new_session=True,  # Ctrl-C in a terminal is for the parent, which ends the child in its own time
    )
    assert process.stdin is not None
    assert process.stdout is not None
    end = asyncio.create_task(_end(home.path, process))
    try:
        # It is made here meanwhile: that takes as long as it takes the child to load its modules.
        made = await EdgeStore.open(home.store_path, dimension=dimension, language=language)
        await made.close()
        process.stdin.write(b"\n")
        if not await process.stdout.readline():
            raise await end
        store = await SeldomFlushed.open(home.path, dimension=dimension, language=language)
        try:
            yield ChildStore(process.pid, store, end)
        finally:
            with contextlib.suppress(RetryLater):  # the child has ended, and whoever worked with it was told
                await store.close()
    finally:
        process.stdin.close()  # the child flushes, and ends
        await end


async def _end(home: Path, process: asyncio.subprocess.Process) -> HelamemError:
    """Return, once the child has ended, what that means to whoever needed it."""
    assert process.stderr is not None
    said = (await process.stderr.read()).decode(errors="replace").strip()
    code = await process.wait()
    if code == _REFUSED:
        return ConfigurationError(said)
    why = said.rpartition("\n")[2] or (signal.Signals(-code).name if code < 0 else f"exit code {code}")
    return RetryLater(f"the process that writes the store of {home} has ended ({why}); do the same again")


async def _serve(home: Path, dimension: int, language: str) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    async def watch() -> None:
        await reader.read()  # nothing more is written; it ends when the parent closes it, or ends itself
        stopping.set()

    def tell(_: Path) -> None:
        os.write(sys.stdout.fileno(), b"\n")

    if not await reader.readline():
        return  # the parent has ended before there was a store
    watching = loop.create_task(watch())
    await serve_held(home, stopping, dimension=dimension, language=language, pause_points=_PAUSE_POINTS, on_ready=tell)
    watching.cancel()


def _main() -> int:
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
    home, dimension, language = sys.argv[1:]
    try:
        with yielding_sooner():
            asyncio.run(_serve(Path(home), int(dimension), language))
    except HelamemError as error:
        sys.stderr.write(f"{error}\n")
        return 1 if isinstance(error, RetryLater) else _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(_main())
