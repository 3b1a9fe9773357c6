"""What models answered, by question, in a file beside the log: filled from it once, and looked up ever after.

It can be thrown away: all of it stands in `helamem.effects`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from helamem.schemas.ids import id_bytes
from helamem.streams.effects.records import Cost, Found
from helamem.streams.keyed_file import KeyedFile, add

_COSTS = (
    "CREATE TABLE costs (tenant TEXT, time_ms INTEGER, place TEXT, tokens_in INTEGER, tokens_out INTEGER,"
    " PRIMARY KEY (tenant, time_ms, place)) WITHOUT ROWID"
)
_TABLES = (
    "CREATE TABLE positions (partition TEXT PRIMARY KEY, next INTEGER, last BLOB)",
    "CREATE TABLE models (model TEXT PRIMARY KEY, size_bytes INTEGER)",
    _COSTS,
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

    def spent(self, tenant: str, since_ms: int) -> tuple[int, int]:
        """Return the tokens, in and out, of the answers on a tenant's account since a moment."""
        query = "SELECT sum(tokens_in), sum(tokens_out) FROM costs WHERE tenant = ? AND time_ms >= ?"
        ((tokens_in, tokens_out),) = self._file.rows(query, (tenant, since_ms))
        return tokens_in or 0, tokens_out or 0

    def read(self) -> dict[str, Read]:
        """Return how far each partition, by name, was read."""
        return {name: Read(*one) for name, *one in self._file.rows("SELECT partition, next, last FROM positions")}

    def take(self, found: Iterable[Found], read: Mapping[str, Read]) -> None:
        """Add answers in the order of the log, and say up to where it was read; both or neither.

        Others may do the same at the same time: it is the same log.
        """
        contents: dict[bytes, bytes] = {}
        models: dict[str, int] = {}
        costs: list[Cost] = []
        for one in found:
            contents.setdefault(id_bytes(one.id), one.content)
            models.setdefault(one.model, len(one.content))
            if one.cost is not None:
                costs.append(one.cost)
        with self._file.changing() as connection:
            add(connection, contents)
            connection.executemany("INSERT OR IGNORE INTO models VALUES (?, ?)", models.items())
            connection.executemany("INSERT OR IGNORE INTO costs VALUES (?, ?, ?, ?, ?)", costs)
            connection.executemany(
                "INSERT INTO positions VALUES (?, ?, ?) ON CONFLICT (partition) DO UPDATE SET next = excluded.next,"
                " last = excluded.last WHERE excluded.next > next",
                [(name, *one) for name, one in read.items()],
            )

    def clear(self) -> None:
        """Forget everything: it was filled from another log."""
        with self._file.changing() as connection:
            for table in ("contents", "positions", "models", "costs"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 - one of our own four

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
