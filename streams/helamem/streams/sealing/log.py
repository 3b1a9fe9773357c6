"""A log that seals what is appended: the one place through which all words of an instance go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from helamem.schemas.errors import Poison
from helamem.schemas.records import NewRecord, Record, TopicPartition, base_name_of
from helamem.schemas.topics import CONVERSATIONS, FACTS, RECALLS
from helamem.schemas.traceparent import HEADER, headers_of
from helamem.schemas.wire import decode, encode
from helamem.streams.log.port import Log
from helamem.streams.sealing.seal import Sealer

_WORDY = {spec.base_name for spec in (CONVERSATIONS, FACTS, RECALLS)}


class SealingLog:
    """A `Log` over another one; what is read is as it stands there, sealed.

    Args:
        log: Where to.
        sealer: Seals the events of some tenants.
    """

    def __init__(self, log: Log, sealer: Sealer) -> None:
        self._log = log
        self._sealer = sealer

    async def append(self, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        """Append records with their words sealed; keys are durable before what they seal. See `Log.append`."""
        return await self._log.append([self._sealed(record) for record in records])

    async def read(
        self, partition: TopicPartition, start: int, *, end: int | None = None, limit: int = 1000
    ) -> list[Record]:
        """See `Log.read`."""
        return await self._log.read(partition, start, end=end, limit=limit)

    async def wait_for_append(self, after: Mapping[TopicPartition, int], timeout_s: float) -> bool:
        """See `Log.wait_for_append`."""
        return await self._log.wait_for_append(after, timeout_s)

    async def partitions(self, topic: str) -> list[TopicPartition]:
        """See `Log.partitions`."""
        return await self._log.partitions(topic)

    async def begin_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """See `Log.begin_offsets`."""
        return await self._log.begin_offsets(partitions)

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """See `Log.end_offsets`."""
        return await self._log.end_offsets(partitions)

    async def offsets_at(self, partitions: Sequence[TopicPartition], time_ms: int) -> dict[TopicPartition, int]:
        """See `Log.offsets_at`."""
        return await self._log.offsets_at(partitions, time_ms)

    async def committed(self, group: str) -> dict[TopicPartition, int]:
        """See `Log.committed`."""
        return await self._log.committed(group)

    async def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """See `Log.commit`."""
        await self._log.commit(group, offsets)

    async def close(self) -> None:
        """See `Log.close`."""
        await self._log.close()

    def _sealed(self, record: NewRecord) -> NewRecord:
        space = record.key.decode(errors="replace")
        if base_name_of(record.topic) not in _WORDY or not self._sealer.seals(space):
            return record
        try:
            event = decode(record.value)
        except Poison:  # redriven bytes that are no event: they stand in the log as they are
            return record
        sealed = self._sealer.seal(event)
        if sealed is event:
            return record
        others = tuple(header for header in record.headers if header[0] != HEADER)
        headers = (*others, *headers_of(sealed.traceparent)) if len(others) < len(record.headers) else others
        return replace(record, value=encode(sealed), headers=headers)
