"""A command's work in a home: opened, brought up to date, closed, with patience for what is away."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from helamem.schemas.errors import BadInput, RetryLater
from helamem.schemas.topics import ACCESS, CHECKPOINTS, DEAD_LETTERS, EFFECTS
from helamem.streams.backoff import Stopped
from helamem.streams.cli.commands import check_space
from helamem.streams.cli.output import say
from helamem.streams.cli.progress import bar
from helamem.streams.cli.tracing import tracing
from helamem.streams.ingest.incoming import BadLine, Incoming
from helamem.streams.ingest.runner import Appended, append_lines
from helamem.streams.log.writer_lock import InUseError

if TYPE_CHECKING:  # they import the engine and the embedder
    from helamem.processors.consolidation.distiller import HubsWait
    from helamem.processors.reranker.port import Reranker
    from helamem.streams.async_memory import AsyncMemory
    from helamem.streams.config import Config
    from helamem.streams.distilling import ModelSettings
    from helamem.streams.metrics import Metrics
    from helamem.streams.pump import Progress
    from helamem.streams.recall_trail import RecallAudit

PATIENCE_S = 3.0
"""How long a command goes on trying while the store or the disk refuses, before it gives up."""
_GROUPS = ("encoding", "co-activation", "consolidation")
_NAMED_SPACES = 5
_NOT_PROCESSED = {DEAD_LETTERS.name, CHECKPOINTS.name, EFFECTS.name, ACCESS.name}
"""Topics that people and auditors read, and what is looked up."""

T = TypeVar("T")


class Session:
    """One command's use of a memory; made by `opened`.

    Attributes:
        memory: It.
        caught_up: Whether `catch_up` has seen the log processed.
        counts: Whether it is this process that processes the log, and so counts.
    """

    counts = True

    def __init__(self, memory: AsyncMemory, patience: Patience) -> None:
        self.memory = memory
        self.caught_up = False
        self._patience = patience

    async def catch_up(self) -> Counter[str]:
        """Process the rest of the log, with a progress bar, and return what was counted.

        Hubs that have to wait for a model are left in the log, once all else is up to date.

        Raises:
            RetryLater: The store or the log stayed away.
        """
        instance = self.memory.instance
        before = Counter(instance.counts)
        applied = await self.positions()
        total = sum(end - applied.get(str(partition), end) for partition, end in (await instance.ends()).items())
        done = 0
        with bar("processing") as advance:

            def on_progress(progress: Progress) -> None:
                nonlocal done
                done += progress.records
                self._patience.renew()
                advance(done, max(done, total))

            waiting: HubsWait | None = None
            with suppress(Stopped):  # patience is exhausted: said below
                waiting = await self.memory.process(on_progress)
        if (away := self._patience.exhausted) is not None:
            raise RetryLater(f"{away}; what is in the log is safe, and the same command goes on from here")
        if waiting is not None:
            say(f"hubs wait to be distilled: {waiting}; they stay in the log, and all else is up to date")
        self.caught_up = True
        return Counter(instance.counts) - before

    async def append(
        self,
        lines: Iterable[Incoming | BadLine],
        on_progress: Callable[[Appended], None],
        on_bad: Callable[[BadLine], None],
    ) -> Appended:
        """Append what a file holds; see `append_lines`."""
        instance = self.memory.instance
        return await append_lines(instance.log, lines, on_progress=on_progress, on_bad=on_bad, tracing=instance.tracing)

    @property
    def place(self) -> Path:
        """The home."""
        return self.memory.instance.home.path

    async def positions(self) -> dict[str, int]:
        """Return how far each partition that is processed has been applied."""
        store = self.memory.instance.store
        partitions = [p for p in await self.memory.instance.ends() if p.topic not in _NOT_PROCESSED]
        applied = {str(partition): 0 for partition in partitions}
        for group in _GROUPS:
            for partition, checkpoint in (await store.load_checkpoints(group)).items():
                applied[str(partition)] = checkpoint.position.offset
        return applied

    async def known(self, space: str) -> str:
        """Return the name of a space that exists.

        Raises:
            BadInput: There is none of that name; names some that there are.
        """
        check_space(space)
        spaces = await self.memory.spaces()
        if space not in spaces:
            raise BadInput(f"there is no space {space} in {self.place}; {_some(sorted(spaces))}")
        return space


class Patience:
    """How long something may stay away.

    Args:
        give_up: Called once, when it has been away for too long.
        clock: Seconds, from any beginning.
    """

    def __init__(self, give_up: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._give_up = give_up
        self._clock = clock
        self._since: float | None = None
        self.exhausted: RetryLater | None = None

    def renew(self) -> None:
        """Note that something was done."""
        self._since = None

    def note(self, error: RetryLater) -> None:
        """Note that something is away; hubs that wait for a model are left by whoever processes them."""
        from helamem.processors.consolidation.distiller import HubsWait  # noqa: PLC0415 - it imports arrays

        if isinstance(error, HubsWait):
            return
        now = self._clock()
        if self._since is None:
            self._since = now
        if self.exhausted is None and now - self._since >= PATIENCE_S:
            self.exhausted = error
            self._give_up()


@asynccontextmanager
async def opened(
    home: Path,
    *,
    create: bool = False,
    on_retry: Callable[[RetryLater], None] | None = None,
    metrics: Metrics | None = None,
    recalls: bool = False,
) -> AsyncIterator[Session]:
    """Open a home for one command.

    Args:
        home: The directory.
        create: Make it where there is none.
        on_retry: Told what is away, each time it is tried again; without it, a command gives up in the end.
        metrics: Where what is done is counted, or None.
        recalls: Whether it asks questions, so that the configured reranker is needed.

    Raises:
        BadInput: There is no home.
        ConfigurationError: Another process writes it, or a newer version made it; the reranker is not there.
    """
    from helamem.streams.async_memory import AsyncMemory  # noqa: PLC0415 - takes long
    from helamem.streams.instance import Instance  # noqa: PLC0415 - takes long

    instance: Instance | None = None

    def give_up() -> None:
        assert instance is not None  # only its pumps try again
        instance.stop()

    patience = Patience(give_up)
    with tracing("sqlite") as traced:
        instance = await Instance.open(
            home,
            create=create,
            distiller=_distiller(),
            on_retry=on_retry or patience.note,
            metrics=metrics,
            tracing=traced,
        )
        async with AsyncExitStack() as stack:
            stack.push_async_callback(instance.close)
            # Only now: where another process serves the home, it is that one's reranker that is asked.
            reranker = configured_reranker() if recalls else None
            config = configured("HELAMEM_RECALL_AUDIT") if recalls else None
            audit: RecallAudit = "strict" if config is None else config.recall_audit
            memory = AsyncMemory(instance, reranker=reranker, recall_audit=audit)
            stack.push_async_callback(memory.close)
            yield Session(memory, patience)


@asynccontextmanager
async def opened_or_served(home: Path, *, create: bool = False, recalls: bool = False) -> AsyncIterator[Session]:
    """Open a home for one command, or ask the process that serves it over HTTP where there is one.

    That process has a reranker of its own, or none.

    Raises:
        BadInput: There is no home.
        ConfigurationError: Another process writes it and serves it to nobody, or a newer version made it.
    """
    async with AsyncExitStack() as stack:
        try:
            session = await stack.enter_async_context(opened(home, create=create, recalls=recalls))
        except InUseError as in_use:
            from helamem.streams.gateway.served import served_at  # noqa: PLC0415 - only where it is served

            served = served_at(home)
            if served is None:
                raise
            from helamem.streams.cli.served import ServedSession  # noqa: PLC0415 - it imports the engine

            session = ServedSession(home, served, in_use)
        yield session


def _distiller() -> ModelSettings | None:
    """Return the model that the configuration has distil, or None.

    Raises:
        BadInput: The configuration is not valid.
        ConfigurationError: What it says of the distiller contradicts itself.
    """
    config = configured("HELAMEM_DISTILLER")
    return None if config is None else config.asked_distiller()


def configured_reranker() -> Reranker | None:
    """Return what the configuration has put memories in order, or None.

    Raises:
        BadInput: The configuration is not valid.
        ConfigurationError: There is no such reranker, or what it needs is not there.
    """
    config = configured("HELAMEM_RERANKER")
    if config is None or config.reranker is None:
        return None
    from helamem.processors.reranker.choose import choose_reranker  # noqa: PLC0415 - it imports arrays

    return choose_reranker(config.reranker)


def configured(variable: str) -> Config | None:
    """Return the configuration, or None where neither a variable nor a file could say something."""
    from helamem.streams.config import config_file, load_config  # noqa: PLC0415 - it imports aiokafka

    return load_config() if variable in os.environ or config_file().exists() else None


def in_home(
    home: Path,
    work: Callable[[Session], Awaitable[T]],
    *,
    create: bool = False,
    process: bool = False,
    recalls: bool = False,
) -> T:
    """Return what `work` returns with an opened home.

    Args:
        home: The directory.
        work: What to do.
        create: Make the home where there is none.
        process: Process the rest of the log first.
        recalls: Whether it asks questions.
    """

    async def run() -> T:
        async with opened_or_served(home, create=create, recalls=recalls) as session:
            if process:
                report(await session.catch_up())
            return await work(session)

    return asyncio.run(run())


def report(counts: Counter[str]) -> None:
    """Tell a person of records that could not be processed."""
    if count := counts["dead-lettered"]:
        say(f"records put aside because they could not be processed: {count}; see: helamem dead-letters list")


def _some(spaces: list[str]) -> str:
    if not spaces:
        return "it holds no memories yet: ingest some first"
    more = len(spaces) - _NAMED_SPACES
    return f"there are {', '.join(spaces[:_NAMED_SPACES])}{f' and {more} more' if more > 0 else ''}"
