"""The tables of a log's file, and what makes it durable."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from helamem.schemas.errors import ConfigurationError
from helamem.schemas.records import base_name_of, generation_of
from helamem.schemas.topics import TopicSpec
from helamem.streams.log.generation import specs_of

FORMAT = 1
"""Number of the file's format; a file of a higher one is refused."""
APPLICATION_ID = 0x48654C61  # "HeLa"
OFFSET_BITS = 40
"""A record's row id is its partition's number and its offset side by side, so that one integer key holds both."""
MAX_OFFSET = (1 << OFFSET_BITS) - 1

# Measured for 400-byte values in batches of 1,000: an integer key took 10 to 15 % more appends a second than
# PRIMARY KEY (partition_id, offset) WITHOUT ROWID, and such tables move values over a quarter page out of line.
_SCHEMA = (
    """CREATE TABLE partitions (
        partition_id INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL, UNIQUE (topic, partition)
    )""",
    """CREATE TABLE records (
        id INTEGER PRIMARY KEY, append_time_ms INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, headers BLOB
    )""",
    """CREATE TABLE positions (
        group_name TEXT NOT NULL, partition_id INTEGER NOT NULL, next_offset INTEGER NOT NULL,
        PRIMARY KEY (group_name, partition_id)
    ) WITHOUT ROWID""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {FORMAT}",
)
_COLUMNS = {
    "partitions": ["partition_id", "topic", "partition"],
    "records": ["id", "append_time_ms", "key", "value", "headers"],
    "positions": ["group_name", "partition_id", "next_offset"],
}


def prepare(connection: sqlite3.Connection, path: Path, topics: Sequence[TopicSpec]) -> None:
    """Make a connection ready to write: durable, with all tables and with the partitions of all topics."""
    if not is_empty(connection):
        check(connection, path, topics)  # before anything is changed
    _make_durable(connection, path)
    connection.execute("BEGIN IMMEDIATE")
    try:
        if is_empty(connection):
            for statement in _SCHEMA:
                connection.execute(statement)
        connection.executemany(
            "INSERT OR IGNORE INTO partitions (topic, partition) VALUES (?, ?)",
            [(spec.name, partition) for spec in topics for partition in range(spec.partitions)],
        )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def held(connection: sqlite3.Connection, topics: Sequence[TopicSpec]) -> tuple[TopicSpec, ...]:
    """Return the topics in the generation that a file holds: a restored one may have a later one than is configured.

    A topic that is new to the file gets the generation and the number of partitions of the others.
    """
    if is_empty(connection):
        return tuple(topics)
    found = dict(connection.execute("SELECT topic, count(*) FROM partitions GROUP BY topic").fetchall())
    later = [name for spec in topics for name in found if base_name_of(name) == spec.base_name]
    number = max((generation_of(name) for name in later), default=0)
    if number in {0, topics[0].generation}:
        return tuple(topics)
    most = max(found[name] for name in later if generation_of(name) == number)
    return specs_of(number, most, topics)


def is_empty(connection: sqlite3.Connection) -> bool:
    """Return whether nothing is in the file yet."""
    return _value(connection, "SELECT count(*) FROM sqlite_master") == 0


def recognise(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that is no log, or one of another version.

    Raises:
        ConfigurationError: One of these.
    """
    if _value(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise ConfigurationError(f"{path} is not a helamem log; name another file")
    if (version := _value(connection, "PRAGMA user_version")) > FORMAT:
        raise ConfigurationError(
            f"the log {path} has format {version} and this helamem reads up to {FORMAT}; upgrade helamem"
        )
    for table, columns in _COLUMNS.items():
        if [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")] != columns:
            raise ConfigurationError(
                f"the log {path} was written by an older helamem (its table {table} has other columns); read it with "
                "that version, or name a new home and ingest the messages again"
            )


def check(connection: sqlite3.Connection, path: Path, topics: Sequence[TopicSpec]) -> None:
    """Refuse a log that divides a topic into another number of partitions.

    A topic that is not there yet is no fault: it is empty until the writer makes it.

    Raises:
        ConfigurationError: It does.
    """
    for spec in topics:
        found = _value(connection, "SELECT count(*) FROM partitions WHERE topic = ?", spec.name)
        if found not in (0, spec.partitions):
            raise ConfigurationError(
                f"the log {path} holds {spec.name} in {found} partitions and {spec.partitions} are configured; a topic"
                " is never grown in place: keep the number, or give the topic its next generation"
            )


def _make_durable(connection: sqlite3.Connection, path: Path) -> None:
    """Set what makes an acknowledged record survive a loss of power."""
    # 8 KiB pages: larger ones append large batches a tenth faster, but a commit of one record writes whole pages.
    connection.execute("PRAGMA page_size = 8192")
    # With a write-ahead log one commit is one sequential write and one fsync, and readers never wait for it.
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    # FULL syncs the write-ahead log at every commit. NORMAL, the usual companion of WAL, syncs only at
    # checkpoints: it would survive a killed process but lose acknowledged records with the power.
    connection.execute("PRAGMA synchronous = FULL")
    # macOS's fsync does not reach the platter; this does, and means nothing elsewhere.
    connection.execute("PRAGMA fullfsync = ON")
    # A checkpoint every 16 MiB; a write-ahead log that grew behind a slow reader is cut back afterwards.
    connection.execute("PRAGMA wal_autocheckpoint = 2048")
    connection.execute(f"PRAGMA journal_size_limit = {64 * 2**20}")
    if mode != "wal" or _value(connection, "PRAGMA synchronous") != 2:
        raise ConfigurationError(
            f"the file system of {path} cannot hold a durable log (no write-ahead log); use a local disk"
        )


def _value(connection: sqlite3.Connection, query: str, *arguments: str) -> int:
    row: tuple[int] = connection.execute(query, arguments).fetchone()
    return row[0]
