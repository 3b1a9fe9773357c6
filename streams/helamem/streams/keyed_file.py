"""Bytes by key in one SQLite file that may be thrown away at any time."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from helamem.schemas.errors import ConfigurationError, RetryLater

_KEYS_PER_QUERY = 500
_BUSY_S = 30.0
"""How long a change waits for another process's."""


class KeyedFile:
    """A file that any thread may use, and that several processes may fill at once.

    Args:
        path: The file; made when it is missing.
        what: What it is called in a sentence.
        tables: Further tables, as SQL.
        read_only: Look up only; nothing is made, and what is not there is empty.

    Raises:
        ConfigurationError: There is something else, or no file can be made there.
    """

    def __init__(self, path: Path, what: str, *, tables: Sequence[str] = (), read_only: bool = False) -> None:
        self._what = what
        self._lock = threading.Lock()
        self.connection: sqlite3.Connection | None = None
        if read_only:
            if path.exists():
                self.connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)
            return
        try:
            self.connection = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False, isolation_level=None)
            self._make(self.connection, tables)
        except sqlite3.DatabaseError as error:
            self.close()
            raise ConfigurationError(
                f"{what} cannot be kept in {path}: {error}; check the path, or delete the file: it is filled again"
            ) from None

    @staticmethod
    def _make(connection: sqlite3.Connection, tables: Sequence[str]) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        # Whole after a power cut, but perhaps without the newest rows: they are made again.
        connection.execute("PRAGMA synchronous=NORMAL")
        # Contents in the order of arrival, found by a small index: random keys would scatter a kilobyte each.
        connection.execute(
            "CREATE TABLE IF NOT EXISTS contents (id INTEGER PRIMARY KEY, key BLOB UNIQUE, content BLOB)"
        )
        for table in tables:
            connection.execute(table)

    def look_up(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the contents of those of the keys that are there."""
        known: dict[bytes, bytes] = {}
        if self.connection is None:
            return known
        with self._lock:
            for start in range(0, len(keys), _KEYS_PER_QUERY):
                part = keys[start : start + _KEYS_PER_QUERY]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, content FROM contents WHERE key IN ({marks})"  # noqa: S608 - only question marks are put in
                known.update(self.connection.execute(query, part))
        return known

    def keep(self, contents: Mapping[bytes, bytes]) -> None:
        """Add contents under keys that are not there yet.

        Raises:
            RetryLater: The file cannot be written now.
        """
        with self.changing() as connection:
            add(connection, contents)

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """Change the file as a whole, or not at all.

        Raises:
            RetryLater: The file cannot be written now.
        """
        assert self.connection is not None  # it was opened for writing
        with self._lock:
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                yield self.connection
                self.connection.execute("COMMIT")
            except sqlite3.OperationalError as error:
                raise RetryLater(f"{self._what} cannot be written: {error}; free some space") from None
            finally:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return what a query gives; nothing where there is no file."""
        if self.connection is None:
            return []
        with self._lock:
            return self.connection.execute(query).fetchall()

    def close(self) -> None:
        """Release the file; a second call does nothing."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def add(connection: sqlite3.Connection, contents: Mapping[bytes, bytes]) -> None:
    """Add contents within a change: of two under one key the first stays."""
    connection.executemany("INSERT OR IGNORE INTO contents (key, content) VALUES (?, ?)", contents.items())
