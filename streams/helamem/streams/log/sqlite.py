"""`SqliteLog`: the embedded log, one file on one machine with one writing process and any number of readers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self, TypeVar

from helamem.schemas.errors import BadInput
from helamem.schemas.records import NewRecord, Record, TopicPartition
from helamem.schemas.topics import TopicSpec
from helamem.streams.log.partitioner import Partitioner
from helamem.streams.log.sqlite_file import Row, SqliteFile
from helamem.streams.log.sqlite_schema import MAX_OFFSET
from helamem.streams.log.writer_lock import WriterLock

POLL_S = 0.05
"""How often a waiting reader looks for what another process has appended."""
MAX_COMMIT_BYTES = 8 * 2**20
"""Appends that wait for the disk share one commit, up to about so many bytes."""
_QUIET_TURNS = 2
"""Turns of the event loop without an append before a commit: what one turn receives is appended in the next."""
_QUIET_S = 30e-6
"""Without an append before a commit, while turns are shorter: those who were answered together ask again together, one
after the other. With turns alone their group now and then fell in two, and each half had a commit of its own."""
_MOST_S = 5e-3
"""For which a commit waits however many come; a turn that is under way is waited for."""

_T = TypeVar("_T")
_Rows = list[Row]


class SqliteLog:
    """A `Log` over one SQLite file. Nothing is ever deleted from it, so every partition begins at offset 0.

    Appends that come together, or while the disk is busy, share a commit, so many small ones cost few syncs.
    It belongs to the event loop that opened it.
    """

    def __init__(
        self,
        path: Path,
        topics: Sequence[TopicSpec],
        clock: Callable[[], int],
        *,
        read_only: bool,
        check_room: Callable[[], None],
    ) -> None:
        self._path = path
        self._check_room = check_room
        self._clock = clock
        self._read_only = read_only
        self._partitioner = Partitioner(topics)
        self._closed = False
        self._lock: WriterLock | None = None
        self._reader_file: SqliteFile | None = None
        self._writer_file: SqliteFile | None = None
        # One thread for each connection: SQLite lets go of the interpreter while it works on the disk.
        self._reader_thread = ThreadPoolExecutor(1, "helamem-log-reader")
        self._writer_thread = ThreadPoolExecutor(1, "helamem-log-writer")
        self._waiting: deque[tuple[_Rows, asyncio.Future[list[int]]]] = deque()
        self._narrowed: dict[str, tuple[bytes, ...]] = {}
        self._appending: asyncio.Task[None] | None = None
        self._appended = asyncio.Event()

    @classmethod
    async def open(
        cls,
        path: Path,
        topics: Sequence[TopicSpec],
        clock: Callable[[], int],
        *,
        read_only: bool = False,
        check_room: Callable[[], None] = lambda: None,
    ) -> Self:
        """Open a log, and make it where there is none.

        Args:
            path: The file. SQLite keeps `-wal` and `-shm` beside it; a writer keeps `.lock`.
            topics: The topics that it holds; a file that was restored from an archive may hold a later generation.
            clock: Returns milliseconds since 1970; append times come from it.
            read_only: Look at a log, also while another process writes it.
            check_room: Asked before each commit, by a thread; what it raises keeps records from the log.

        Raises:
            BadInput: There is nothing to look at, or the path cannot be written.
            ConfigurationError: Another process writes it (`InUseError`), it is no log, it is of a newer version, or a
                topic has another number of partitions.
            RetryLater: The disk is full or fails.
        """
        log = cls(path, topics, clock, read_only=read_only, check_room=check_room)
        loop = asyncio.get_running_loop()
        try:
            if not read_only:
                log._lock = WriterLock.take(path.with_name(path.name + ".lock"), f"the log {path}", clock)
                log._writer_file = await loop.run_in_executor(
                    log._writer_thread, lambda: SqliteFile(path, topics, read_only=False)
                )
            log._reader_file = await loop.run_in_executor(
                log._reader_thread, lambda: SqliteFile(path, topics, read_only=True)
            )
            log._partitioner = Partitioner(log._reader_file.topics)
        except BaseException:
            await log.close()
            raise
        return log

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def append(self, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        """Append records in order, all or none, and return where they are once they are on the disk."""
        self._writer()
        rows = [(self._partitioner.place(record), record.key, record.value, record.headers) for record in records]
        if not rows:
            return []
        acknowledged: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self._waiting.append((rows, acknowledged))
        if self._appending is None:
            self._appending = asyncio.create_task(self._append_waiting())
        offsets = await acknowledged
        return [(row[0], offset) for row, offset in zip(rows, offsets, strict=True)]

    async def read(
        self, partition: TopicPartition, start: int, *, end: int | None = None, limit: int = 1000
    ) -> list[Record]:
        """Return records of one partition in order; fewer than `limit` where they are large."""
        self._partitioner.check(partition)
        start = max(start, 0)
        end = MAX_OFFSET if end is None else min(end, MAX_OFFSET)
        if limit <= 0 or end <= start:
            return []
        keys = self._narrowed.get(partition.topic, ())
        return await self._on_reader(lambda file: file.read(partition, start, end, limit, keys))

    def narrow(self, topic: str, keys: Iterable[bytes]) -> None:
        """Read from now on, of one topic, only records with some keys, and the last one before each end.

        For whoever would pass over all others: they need not even be made.

        Args:
            topic: In the generation that the file holds.
            keys: At least one.
        """
        self._narrowed[topic] = tuple(keys)

    async def count(self, partition: TopicPartition, start: int, end: int, key: bytes, most: int) -> int:
        """Return how many records with `start <= offset < end` have a key, but no more than `most`."""
        self._partitioner.check(partition)
        start, end = max(start, 0), min(end, MAX_OFFSET)
        return await self._on_reader(lambda file: file.count(partition, start, end, key, most))

    async def wait_for_append(self, after: Mapping[TopicPartition, int], timeout_s: float) -> bool:
        """Wait for a record at or past the given offsets; at once for this process, within 50 ms for others."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            appended = self._appended  # taken before looking, so that no append falls between looking and waiting
            ends = await self.end_offsets(list(after))
            if any(ends[partition] > offset for partition, offset in after.items()):
                return True
            left_s = deadline - loop.time()
            if left_s <= 0:
                return False
            try:
                async with asyncio.timeout(min(left_s, POLL_S) if self._read_only else left_s):
                    await appended.wait()
            except TimeoutError:
                continue

    async def partitions(self, topic: str) -> list[TopicPartition]:
        """Return the partitions of a topic, in order."""
        return list(self._partitioner.partitions(topic))

    async def begin_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return 0 for each partition, since nothing is ever deleted."""
        self._partitioner.check(*partitions)
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offset that the next record of each partition will get."""
        self._partitioner.check(*partitions)
        return await self._on_reader(lambda file: {partition: file.end_offset(partition) for partition in partitions})

    async def offsets_at(self, partitions: Sequence[TopicPartition], time_ms: int) -> dict[TopicPartition, int]:
        """Return per partition the first offset that was appended after `time_ms`."""
        self._partitioner.check(*partitions)
        return await self._on_reader(
            lambda file: {partition: file.offset_at(partition, time_ms) for partition in partitions}
        )

    async def committed(self, group: str) -> dict[TopicPartition, int]:
        """Return per partition the next offset that a named group has yet to process."""
        committed = await self._on_reader(lambda file: file.committed(group))
        # The file may also hold topics that were not named here, an older generation say.
        return {at: offset for at, offset in committed.items() if self._partitioner.knows(at)}

    async def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Store durably up to where a group has processed each partition."""
        file = self._writer()
        self._partitioner.check(*offsets)
        positions = dict(offsets)
        await asyncio.get_running_loop().run_in_executor(self._writer_thread, lambda: file.commit(group, positions))

    async def close(self) -> None:
        """Finish what was begun and release file, threads and lock; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._appending is not None:
            await asyncio.wait([self._appending])
        loop = asyncio.get_running_loop()
        try:
            for file, thread in ((self._reader_file, self._reader_thread), (self._writer_file, self._writer_thread)):
                if file is not None:
                    await loop.run_in_executor(thread, file.close)
                thread.shutdown()
        finally:
            if self._lock is not None:
                self._lock.release()

    async def _append_waiting(self) -> None:
        """Commit what waits until nothing does: while one commit is at the disk, the next one gathers."""
        file = self._writer()
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                await self._let_others_come()
                together, rows = self._gather()
                try:
                    offsets = await loop.run_in_executor(self._writer_thread, self._write, file, rows)
                except BaseException as error:
                    for _, acknowledged in together:
                        if not acknowledged.done():
                            acknowledged.set_exception(error)
                    if isinstance(error, Exception):
                        continue
                    raise
                start = 0
                for own_rows, acknowledged in together:
                    if not acknowledged.done():
                        acknowledged.set_result(offsets[start : start + len(own_rows)])
                    start += len(own_rows)
                self._appended.set()
                self._appended = asyncio.Event()
        finally:
            self._appending = None

    async def _let_others_come(self) -> None:
        """Wait until nobody has appended for some turns of the event loop: whoever is ready to shares the commit.

        Requests come one by one, where callers in this process come together. A commit for the first of them would take
        the processor and the interpreter from the rest, and would not be through sooner than with all of them.
        """
        begin_s = came_s = monotonic()  # a loop's own time may stand still within a turn, and be of milliseconds
        quiet, waiting = 0, len(self._waiting)
        while True:
            await asyncio.sleep(0)
            now_s = monotonic()
            if len(self._waiting) > waiting:
                quiet, waiting, came_s = 0, len(self._waiting), now_s
            else:
                quiet += 1
            if (quiet >= _QUIET_TURNS and now_s - came_s >= _QUIET_S) or now_s - begin_s >= _MOST_S:
                return

    def _write(self, file: SqliteFile, rows: _Rows) -> list[int]:
        self._check_room()
        return file.append(rows, self._clock)

    def _gather(self) -> tuple[list[tuple[_Rows, asyncio.Future[list[int]]]], _Rows]:
        together = []
        rows: _Rows = []
        size_bytes = 0
        while self._waiting and size_bytes < MAX_COMMIT_BYTES:
            waiting = self._waiting.popleft()
            together.append(waiting)
            rows.extend(waiting[0])
            size_bytes += sum(len(value) for _, _, value, _ in waiting[0])
        return together, rows

    def _writer(self) -> SqliteFile:
        if self._writer_file is None:
            raise BadInput(f"the log {self._path} was opened for reading only; open it for writing to change it")
        return self._writer_file

    async def _on_reader(self, work: Callable[[SqliteFile], _T]) -> _T:
        file = self._reader_file
        assert file is not None  # `open` has set it
        return await asyncio.get_running_loop().run_in_executor(self._reader_thread, work, file)
