"""How the spaces of a log grow: when each of them had how many records."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterator

from helamem.schemas.records import TopicPartition
from helamem.streams.log.port import Log
from helamem.streams.rebuild import ONLY
from helamem.streams.settings_log import SPACE

_PAGE = 10_000
_SETTINGS = SPACE.encode()


class Growth:
    """The append times of the records of each space, 8 bytes a record; it reads on where it was."""

    def __init__(self) -> None:
        self._offsets: dict[TopicPartition, int] = {}
        self._times: dict[bytes, dict[TopicPartition, array[int]]] = {}

    async def look(self, log: Log) -> None:
        """Take in what has been appended to the log; it is always the same one."""
        partitions = [at for topics in ONLY.values() for spec in topics for at in await log.partitions(spec.name)]
        begins = await log.begin_offsets(partitions)
        for partition in partitions:
            offset = self._offsets.get(partition, begins[partition])
            while records := await log.read(partition, offset, limit=_PAGE):
                offset = records[-1].offset + 1
                for record in records:
                    if record.key == _SETTINGS or not _is_text(record.key):
                        continue  # those belong to partitions and to no space, and these are put aside
                    times = self._times.setdefault(record.key, {})
                    times.setdefault(partition, array("q")).append(record.append_time_ms)
            self._offsets[partition] = offset

    def spaces(self) -> Iterator[tuple[str, int]]:
        """Yield each space with the number of its records, in the order of their names."""
        for key, times in sorted(self._times.items()):
            yield key.decode(), sum(map(len, times.values()))

    def reached(self, space: str, records: int) -> tuple[int, int]:
        """Return when a space had so many records, and how many it had then: some may be appended together.

        Returns:
            The append time in milliseconds, and the number of its records up to and with that time.
        """
        count, reached_ms = 0, 0
        for time_ms in heapq.merge(*self._times[space.encode()].values()):
            if count >= records and time_ms > reached_ms:
                break
            count, reached_ms = count + 1, time_ms
        return reached_ms, count


def _is_text(key: bytes) -> bool:
    """Return whether a key may be the name of a space."""
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True
