"""What models answered, by question, in a file beside the log: filled from it once, and looked up ever after.

It can be thrown away: all of it stands in `helamem.effects`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from helamem.schemas.ids import id_bytes
from helamem.streams.effects.records import Found
from helamem.streams.keyed_file import KeyedFile, add

_TABLES = (
    "CREATE TABLE positions (partition TEXT PRIMARY KEY, next INTEGER, last BLOB)",
    "CREATE TABLE models (model TEXT PRIMARY KEY, size_bytes INTEGER)",
)


class Read(NamedTuple):
    """How far a partition was read."""

    next: int
    """Offset of the next record."""
    last: bytes
    """Hash of the record before it, which shows whether this is the log that was read."""


class AnswerIndex:
    """The answers in one file, and how far the log was read for them; with the errors of `KeyedFile`.

    Args:
        path: The file; made when it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._file = KeyedFile(path, "the index of what models answered", tables=_TABLES)

    def look_up(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Return the answers to those of the questions, by id, that have one."""
        keys = {id_bytes(id_): id_ for id_ in ids}
        return {keys[key]: content for key, content in self._file.look_up(list(keys)).items()}

    def dimension(self, model: str) -> int | None:
        """Return the length of a model's vectors, or None where it never answered."""
        size = dict(self._file.rows("SELECT model, size_bytes FROM models")).get(model)
        return None if size is None else size // 4

    def read(self) -> dict[str, Read]:
        """Return how far each partition, by name, was read."""
        return {name: Read(*one) for name, *one in self._file.rows("SELECT partition, next, last FROM positions")}

    def take(self, found: Iterable[Found], read: Mapping[str, Read]) -> None:
        """Add answers in the order of the log, and say up to where it was read; both or neither.

        Others may do the same at the same time: it is the same log.
        """
        contents: dict[bytes, bytes] = {}
        models: dict[str, int] = {}
        for one in found:
            contents.setdefault(id_bytes(one.id), one.content)
            models.setdefault(one.model, len(one.content))
        with self._file.changing() as connection:
            add(connection, contents)
            connection.executemany("INSERT OR IGNORE INTO models VALUES (?, ?)", models.items())
            connection.executemany(
                "INSERT INTO positions VALUES (?, ?, ?) ON CONFLICT (partition) DO UPDATE SET next = excluded.next,"
                " last = excluded.last WHERE excluded.next > next",
                [(name, *one) for name, one in read.items()],
            )

    def clear(self) -> None:
        """Forget everything: it was filled from another log."""
        with self._file.changing() as connection:
            for table in ("contents", "positions", "models"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 - one of our own three

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
