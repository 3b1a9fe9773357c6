"""The rows that were touched last, packed as they are in the store: about 1 kB of memory for a full one."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from helamem.processors.store.port import EdgeRow
from helamem.schemas.records import TopicPartition

RowKey = tuple[str, str]
"""Space and memory id."""


class RowCache:
    """Rows by partition and key, at most `capacity` in all.

    When there are more, the partition that has the most loses those that were stored least recently.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._rows: dict[TopicPartition, dict[RowKey, EdgeRow]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))

    def rows(self, partition: TopicPartition) -> Mapping[RowKey, EdgeRow]:
        """Return the rows of a partition; what is not here may still be in the store."""
        return self._rows.get(partition, {})

    def store(self, partition: TopicPartition, rows: Mapping[RowKey, EdgeRow]) -> None:
        """Take in the rows that a batch used, as it left them."""
        own = self._rows.setdefault(partition, {})
        for key in rows:
            own.pop(key, None)
        own.update(rows)
        while (excess := len(self) - self._capacity) > 0:
            largest = max(self._rows.values(), key=len)
            for key in list(islice(largest, excess)):
                del largest[key]

    def drop(self, partition: TopicPartition) -> None:
        """Drop every row of a partition: what the store has is what counts from here on."""
        self._rows.pop(partition, None)
