"""The file behind `SqliteLog`: one connection, its appends and its reads. All calls block."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from helamem.schemas.errors import BadInput
from helamem.schemas.records import Headers, Record, TopicPartition
from helamem.schemas.topics import TopicSpec
from helamem.streams.log.sqlite_errors import plain_errors
from helamem.streams.log.sqlite_schema import MAX_OFFSET, OFFSET_BITS, check, held, is_empty, prepare, recognise

Row = tuple[TopicPartition, bytes, bytes, Headers]
"""What is appended: partition, key, value, headers."""
_Stored = tuple[int, int, bytes, bytes, bytes | None]
"""As it stands in the file: row id, append time, key, value, headers."""
_HEADERS = msgspec.msgpack.Decoder(Headers)
_READ = "SELECT id, append_time_ms, key, value, headers FROM records WHERE id >= ?1 AND id < ?2{} ORDER BY id LIMIT ?3"
_INSERT = "INSERT INTO records VALUES {}"
MAX_READ_BYTES = 16 * 2**20
"""One read stops after so many bytes of values, so that a thousand large records do not fill the memory."""
_IN_ONE_STATEMENT = 64
"""So many records are a statement of their own, and its own transaction: SQLite lets go of the interpreter for each
statement, and where the event loop is busy, getting it back takes longer than the statement."""


def _read(keys: int) -> str:
    """Return the statement that reads records, with so many keys."""
    only = f" AND (id = ?4 OR key IN ({', '.join(f'?{number + 5}' for number in range(keys))}))" if keys else ""
    return _READ.format(only)


@cache
def _insert_of(rows: int) -> str:
    """Return the statement that inserts so many records."""
    return _INSERT.format(", ".join(["(?, ?, ?, ?, ?)"] * rows))


def packed(headers: Headers) -> bytes | None:
    """Return headers as they stand in a file: MessagePack, and nothing where there are none."""
    return msgspec.msgpack.encode(headers) if headers else None


class SqliteFile:
    """One connection to a log's file, to be used by one thread.

    Args:
        path: The file.
        topics: The topics that it holds; the writing connection adds those that are missing.
        read_only: Whether it can only be looked at.

    Attributes:
        topics: The same in the generation that the file holds.

    Raises:
        BadInput: It is to be looked at, and there is none.
        ConfigurationError: The file is no log, is damaged, is of another version or divides a topic otherwise.
        RetryLater: The disk is full or fails.
    """

    def __init__(self, path: Path, topics: Sequence[TopicSpec], *, read_only: bool) -> None:
        self._path = path
        self._ids: dict[TopicPartition, int] = {}
        self._tails: dict[int, tuple[int, int]] = {}
        if read_only and not path.is_file():
            raise BadInput(f"there is no log at {path}; check the path")
        with self._plain_errors("be opened"):
            self.connection = sqlite3.connect(
                f"file:{quote(str(path.absolute()))}?mode={'ro' if read_only else 'rwc'}",
                uri=True,
                isolation_level=None,
            )
            try:
                if read_only or not is_empty(self.connection):
                    recognise(self.connection, path)  # before anything is changed: it may be somebody else's file
                self.topics = held(self.connection, topics)
                if not read_only:
                    prepare(self.connection, path, self.topics)
                check(self.connection, path, self.topics)
            except BaseException:
                self.connection.close()
                raise

    def close(self) -> None:
        """Close the connection; the last one to close moves what is in the write-ahead log into the file."""
        self.connection.close()

    def append(self, rows: Sequence[Row], clock: Callable[[], int]) -> list[int]:
        """Append records in order, all or none, and return the offsets once they are on the disk."""
        now_ms = clock()
        tails: dict[TopicPartition, tuple[int, int, int]] = {}  # row id of offset 0, next row id, append time
        ids: list[_Stored] = []
        offsets: list[int] = []
        with self._plain_errors("take these records"):
            for partition, key, value, headers in rows:
                if (tail := tails.get(partition)) is None:
                    first, next_id, last_ms = self._tail(partition)
                    tail = first, next_id, max(now_ms, last_ms)
                first, next_id, append_time_ms = tail
                ids.append((next_id, append_time_ms, key, value, packed(headers)))
                offsets.append(next_id - first)
                tails[partition] = first, next_id + 1, append_time_ms
            self._insert(ids)
        for first, next_id, append_time_ms in tails.values():
            self._tails[first] = next_id, append_time_ms
        return offsets

    def restore(self, partition: TopicPartition, records: Sequence[Record]) -> None:
        """Append records that another log had with their times, all or none; a time that goes back stands still."""
        with self._plain_errors("take these records"):
            first, next_id, last_ms = self._tail(partition)
            inserted = []
            for record in records:
                last_ms = max(last_ms, record.append_time_ms)
                inserted.append((next_id, last_ms, record.key, record.value, packed(record.headers)))
                next_id += 1
            self._insert(inserted)
        self._tails[first] = next_id, last_ms

    def read(
        self, partition: TopicPartition, start: int, end: int, limit: int, keys: Sequence[bytes] = ()
    ) -> list[Record]:
        """Return up to `limit` records with `start <= offset < end`, fewer where they are large.

        With `keys` these are the records with one of them, and the last one before `end`, so that whoever goes on after
        what he was given comes to the end. The others cost a tenth of what they do otherwise.
        """
        records: list[Record] = []
        with self._plain_errors("be read"):
            if (first := self._first_id(partition)) is None:
                return records
            size_bytes = 0
            arguments: list[int | bytes | None] = [first + start, first + end, limit]
            if keys:
                (last,) = self._one("SELECT max(id) FROM records WHERE id >= ? AND id < ?", *arguments[:2])
                arguments += [last, *keys]
            cursor = self.connection.execute(_read(len(keys)), arguments)
            topic, number = partition
            for row_id, append_time_ms, key, value, headers in cursor:
                records.append(
                    Record(
                        topic=topic,
                        partition=number,
                        offset=row_id - first,
                        append_time_ms=append_time_ms,
                        key=key,
                        value=value,
                        headers=() if headers is None else _HEADERS.decode(headers),
                    )
                )
                size_bytes += len(value)
                if size_bytes >= MAX_READ_BYTES:
                    break
            cursor.close()  # an open cursor would keep the write-ahead log from being emptied
        return records

    def count(self, partition: TopicPartition, start: int, end: int, key: bytes, most: int) -> int:
        """Return how many records with `start <= offset < end` have a key, but no more than `most`.

        No value is read, so it takes a tenth of the time of reading them.
        """
        with self._plain_errors("be read"):
            if (first := self._first_id(partition)) is None:
                return 0
            found = self._one(
                "SELECT count(*) FROM (SELECT 1 FROM records WHERE id >= ? AND id < ? AND key = ? LIMIT ?)",
                *(first + start, first + end, key, most),
            )
        return int(found[0])

    def end_offset(self, partition: TopicPartition) -> int:
        """Return the offset that the partition's next record will get."""
        with self._plain_errors("be read"):
            if (first := self._first_id(partition)) is None:
                return 0
            (last,) = self._one("SELECT max(id) FROM records WHERE id BETWEEN ? AND ?", first, first + MAX_OFFSET)
            return 0 if last is None else last - first + 1

    def offset_at(self, partition: TopicPartition, time_ms: int) -> int:
        """Return the first offset that was appended after `time_ms`.

        Times never decrease within a partition, so halving finds it and no second index is kept.
        """
        low, high = 0, self.end_offset(partition)
        with self._plain_errors("be read"):
            first = self._first_id(partition) or 0
            while low < high:
                middle = (low + high) // 2
                (append_time_ms,) = self._one("SELECT append_time_ms FROM records WHERE id = ?", first + middle)
                low, high = (middle + 1, high) if append_time_ms <= time_ms else (low, middle)
        return low

    def committed(self, group: str) -> dict[TopicPartition, int]:
        """Return the committed positions of a group."""
        with self._plain_errors("be read"):
            rows = self.connection.execute(
                "SELECT topic, partition, next_offset FROM positions JOIN partitions USING (partition_id)"
                " WHERE group_name = ? ORDER BY topic, partition",
                (group,),
            ).fetchall()
        return {TopicPartition(topic, partition): next_offset for topic, partition, next_offset in rows}

    def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Store positions of a group, all or none, and return once they are on the disk."""
        with self._plain_errors("store positions"):
            rows = [(group, (self._first_id(at) or 0) >> OFFSET_BITS, offset) for at, offset in offsets.items()]
            with self._transaction():
                self.connection.executemany("INSERT OR REPLACE INTO positions VALUES (?, ?, ?)", rows)

    def _first_id(self, partition: TopicPartition) -> int | None:
        """Return the row id of a partition's offset 0, or None while the writer has not yet made the partition."""
        if (first := self._ids.get(partition)) is None:
            row = self.connection.execute(
                "SELECT partition_id FROM partitions WHERE topic = ? AND partition = ?", partition
            ).fetchone()
            if row is None:
                return None
            first = self._ids[partition] = row[0] << OFFSET_BITS
        return first

    def _tail(self, partition: TopicPartition) -> tuple[int, int, int]:
        first = self._first_id(partition)
        assert first is not None  # the writing connection has made every partition
        if first not in self._tails:
            row = self.connection.execute(
                "SELECT id + 1, append_time_ms FROM records WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1",
                (first, first + MAX_OFFSET),
            ).fetchone()
            self._tails[first] = row or (first, 0)
        return first, *self._tails[first]

    def _one(self, query: str, *arguments: int | bytes | None) -> tuple[Any, ...]:
        row: tuple[Any, ...] = self.connection.execute(query, arguments).fetchone()
        return row

    def _insert(self, rows: Sequence[_Stored]) -> None:
        """Put records on the disk, all or none."""
        if not 0 < len(rows) <= _IN_ONE_STATEMENT:
            with self._transaction():
                self.connection.executemany(_insert_of(1), rows)
            return
        try:
            self.connection.execute(_insert_of(len(rows)), [*chain.from_iterable(rows)])
        except BaseException:
            self._tails.clear()  # see `_transaction`
            raise

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            self._tails.clear()  # what the file holds is asked again, not remembered
            if self.connection.in_transaction:  # a full disk may have rolled it back already
                self.connection.execute("ROLLBACK")
            raise

    def _plain_errors(self, action: str) -> AbstractContextManager[None]:
        return plain_errors(f"the log {self._path}", action)
