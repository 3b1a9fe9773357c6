"""What `helamem archive` reads, and where the checkpoints go: a home, or Kafka in whatever generation."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from helamem.schemas.errors import ConfigurationError
from helamem.schemas.topics import TOPICS
from helamem.streams.cli.kafka import kafka_history, log_to_read
from helamem.streams.cli.output import say

if TYPE_CHECKING:  # they import cryptography, and aiokafka
    from helamem.streams.archive.archiver import Archiver
    from helamem.streams.archive.files import Files
    from helamem.streams.log.kafka_history import KafkaHistory
    from helamem.streams.log.port import Log


class Source(Protocol):
    """Where records come from, and checkpoints go."""

    async def logs(self, archiver: Archiver) -> tuple[Log, list[Log]]:
        """Return the log as it is now, and its earlier generations that the archive has begun."""
        ...

    async def publish(self, files: Files, archive_id: str) -> int:
        """Append an archive's new checkpoints, and return how many those were."""
        ...


@asynccontextmanager
async def source_of(home: Path, *, kafka: bool) -> AsyncIterator[Source]:
    """Open a home, or the fleet's Kafka.

    Raises:
        BadInput: There is no home.
        ConfigurationError: Topics are missing, or Kafka refuses access.
        RetryLater: Kafka is away.
    """
    if kafka:
        async with kafka_history() as history:
            yield _InKafka(history)
        return
    async with log_to_read(home, kafka=False) as log:
        yield _InHome(home, log)


class _InHome:
    """A home; the log takes checkpoints while nobody else writes it."""

    def __init__(self, home: Path, log: Log) -> None:
        self._home = home
        self._log = log
        self._said = False

    async def logs(self, archiver: Archiver) -> tuple[Log, list[Log]]:  # noqa: ARG002 - a home has one generation
        return self._log, []

    async def publish(self, files: Files, archive_id: str) -> int:
        from helamem.streams.audit.checkpoints import publish  # noqa: PLC0415 - it imports cryptography
        from helamem.streams.log.writer_lock import InUseError  # noqa: PLC0415 - likewise

        try:
            async with _home_log(self._home) as writable:
                return await publish(writable, files, archive_id)
        except InUseError as error:
            if not self._said:
                say(f"checkpoints stay out of the log for now ({error}); a later run puts them there", logging.WARNING)
            self._said = True
            return 0


class _InKafka:
    """The fleet's Kafka; a migration may put another generation in use at any time."""

    def __init__(self, history: KafkaHistory) -> None:
        self._history = history
        self._number: int | None = None
        self._said = False

    async def logs(self, archiver: Archiver) -> tuple[Log, list[Log]]:
        from helamem.schemas.records import generation_of  # noqa: PLC0415 - only needed here

        found = await self._history.look()
        if self._number not in {None, found.number}:
            say(f"the log went on in generation {found.number}, and so does the archive")
        self._number = found.number
        begun = {generation_of(at.topic) for at in await asyncio.to_thread(archiver.reader.partitions)}
        return found.in_use, [log for number, log in found.left.items() if number in begun]

    async def publish(self, files: Files, archive_id: str) -> int:
        from helamem.streams.audit.checkpoints import publish  # noqa: PLC0415 - it imports cryptography

        found = await self._history.look()
        if not found.sealed:
            try:
                return await publish(found.in_use, files, archive_id)
            except ConfigurationError:
                if not (await self._history.look()).sealed:
                    raise
        if not self._said:
            say("checkpoints stay out of the log while it is migrated; a later run puts them there")
        self._said = True
        return 0


@asynccontextmanager
async def _home_log(path: Path) -> AsyncIterator[Log]:
    """Open the log of a home for a moment of writing."""
    from helamem.streams.home import Home, wall_clock_ms  # noqa: PLC0415 - only where a home is archived
    from helamem.streams.log.sqlite import SqliteLog  # noqa: PLC0415 - likewise

    with Home.open(path, create=False, brief=True) as home:
        async with await SqliteLog.open(home.log_path, TOPICS, wall_clock_ms) as log:
            yield log
