"""Bytes by key in one SQLite file that may be thrown away at any time."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from helamem.schemas.errors import ConfigurationError, RetryLater
from helamem.streams.log.sqlite_errors import plain_errors

_KEYS_PER_QUERY = 500
_BUSY_S = 30.0
"""How long a change waits for another process's."""
_MENDING = "delete it: it is filled again"

# Contents in the order of arrival, found by a small index: random keys would scatter a kilobyte each.
_CONTENTS = "CREATE TABLE contents (id INTEGER PRIMARY KEY, key BLOB UNIQUE, content BLOB)"


class KeyedFile:
    """A file that any thread may use, and that several processes may fill at once.

    Every method raises `ConfigurationError` where the file turns out to be damaged or was closed, and `RetryLater`
    where its disk is full or fails.

    Args:
        path: The file; made when it is missing.
        what: What it is called in a sentence.
        tables: Further tables, as SQL.
        read_only: Look up only; nothing is made, and where the table of contents is missing it is empty.

    Raises:
        ConfigurationError: It is damaged, something else or of another version, or no file can be made there.
        RetryLater: Its disk is full or fails, or another program holds it.
    """

    def __init__(self, path: Path, what: str, *, tables: Sequence[str] = (), read_only: bool = False) -> None:
        self._what = f"{what} {path}"
        self._lock = threading.Lock()
        self._closed = False
        self.connection: sqlite3.Connection | None = None
        if read_only and not path.exists():
            return
        with self._plain_errors("be read" if read_only else "be kept"):
            connection = sqlite3.connect(
                f"file:{quote(str(path.absolute()))}?mode={'ro' if read_only else 'rwc'}",
                uri=True,
                timeout=_BUSY_S,
                check_same_thread=False,
                isolation_level=None,
            )
            try:
                if not read_only:
                    self._make(connection, [_CONTENTS, *tables])
                elif _CONTENTS not in _tables(connection):
                    connection.close()
                    return
            except BaseException:
                connection.close()
                raise
            self.connection = connection

    def _make(self, connection: sqlite3.Connection, tables: Sequence[str]) -> None:
        self._check(connection, tables)  # before anything is changed: it may be somebody else's file
        connection.execute("PRAGMA journal_mode=WAL")
        # Whole after a power cut, but perhaps without the newest rows: they are made again.
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            if not _tables(connection):
                for table in tables:
                    connection.execute(table)
            self._check(connection, tables)  # another process may have made it meanwhile
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _check(self, connection: sqlite3.Connection, tables: Sequence[str]) -> None:
        found = _tables(connection)
        if found and found != set(tables):
            raise ConfigurationError(f"{self._what} is of another version or something else; {_MENDING}")

    def look_up(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the contents of those of the keys that are there."""
        known: dict[bytes, bytes] = {}
        with self._using("be read") as connection:
            if connection is None:
                return known
            for start in range(0, len(keys), _KEYS_PER_QUERY):
                part = keys[start : start + _KEYS_PER_QUERY]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, content FROM contents WHERE key IN ({marks})"  # noqa: S608 - only question marks are put in
                known.update(connection.execute(query, part))
        return known

    def keep(self, contents: Mapping[bytes, bytes]) -> None:
        """Add contents under keys that are not there yet."""
        with self.changing() as connection:
            add(connection, contents)

    def forget(self, keys: Collection[bytes]) -> None:
        """Remove contents, also from what the file keeps of deleted rows. Nobody else writes it."""
        with self.changing() as connection:
            connection.executemany("DELETE FROM contents WHERE key = ?", ((key,) for key in keys))
        with self._using("be written"):
            connection.execute("VACUUM")
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:  # a replay may be looking something up, but none does so for as long as this waited
            raise RetryLater(f"{self._what} cannot be cleared while another program reads it; end that, and try again")

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """Change the file as a whole, or not at all."""
        with self._using("be written") as connection:
            assert connection is not None  # it was opened for writing
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def rows(self, query: str, values: Sequence[str | int] = ()) -> list[tuple[Any, ...]]:
        """Return what a query gives, with values for its question marks; nothing where there is no file."""
        with self._using("be read") as connection:
            return [] if connection is None else connection.execute(query, values).fetchall()

    def damaged(self, why: str) -> ConfigurationError:
        """Return the error of whoever finds contents in it that cannot be."""
        return ConfigurationError(f"{self._what} is damaged or something else ({why}); {_MENDING}")

    def close(self) -> None:
        """Release the file, once nobody uses it: a cancelled task leaves a thread behind that may still do.

        A second call does nothing.
        """
        with self._lock:
            self._closed = True
            if self.connection is not None:
                self.connection.close()
                self.connection = None

    @contextmanager
    def _using(self, action: str) -> Iterator[sqlite3.Connection | None]:
        """Yield the connection to one thread at a time, or None where there is no file to read."""
        with self._lock, self._plain_errors(action):
            if self._closed:
                raise ConfigurationError(f"{self._what} is closed; open it again")
            yield self.connection

    @contextmanager
    def _plain_errors(self, action: str) -> Iterator[None]:
        try:
            with plain_errors(self._what, action, _MENDING):
                yield
        except sqlite3.OperationalError as error:  # a table is gone: somebody put another file there
            raise self.damaged(str(error)) from error


def add(connection: sqlite3.Connection, contents: Mapping[bytes, bytes]) -> None:
    """Add contents within a change: of two under one key the first stays."""
    connection.executemany("INSERT OR IGNORE INTO contents (key, content) VALUES (?, ?)", contents.items())


def _tables(connection: sqlite3.Connection) -> set[str]:
    """Return what made each table of a file."""
    return {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE type = 'table'")}
