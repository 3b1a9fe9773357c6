"""SQLite's errors in plain words: what went wrong, where, and what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from helamem.schemas.errors import ConfigurationError, HelamemError, RetryLater


@contextmanager
def plain_errors(what: str, action: str, mending: str = "restore it from a copy") -> Iterator[None]:
    """Turn an error of SQLite into one of ours.

    Args:
        what: The file, in words and with its path.
        action: What it was about to do: "be read", "take these records".
        mending: What to do with a damaged one.

    Raises:
        RetryLater: The disk is full or fails, or another program holds the file for a moment.
        ConfigurationError: The file is damaged, or may not be opened or written.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        explained = _explain(error, what, action, mending)
        if explained is None:  # a mistake of ours: to dress it up would hide it
            raise
        raise explained from error


def _explain(error: sqlite3.DatabaseError, what: str, action: str, mending: str) -> HelamemError | None:
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:  # the low byte is the kind, the rest is detail
        case sqlite3.SQLITE_FULL:
            return RetryLater(f"{what} cannot {action}: its disk is full; free some space and try again")
        case sqlite3.SQLITE_IOERR:
            return RetryLater(
                f"{what} cannot {action}: its disk failed or is full ({error}); check the disk and try again"
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
            return RetryLater(f"{what} cannot {action}: another program holds it ({error}); try again in a moment")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return ConfigurationError(f"{what} is damaged or something else ({error}); {mending}")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return ConfigurationError(
                f"{what} cannot {action} ({error}); check that its directory exists and may be written"
            )
        case _:
            return None
