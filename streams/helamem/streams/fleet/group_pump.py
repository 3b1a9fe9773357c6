"""The pump as a member of a consumer group: each partition that the group gives it is driven as everywhere else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from helamem.processors.port import Processor
from helamem.processors.store.port import MemoryStore
from helamem.schemas.errors import RetryLater
from helamem.schemas.records import TopicPartition
from helamem.streams.fleet.group import Group
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.port import Log
from helamem.streams.logs import putting_aside
from helamem.streams.pump import Commit, Progress, Pump


class GroupPump(Group[Pump]):
    """Drives a processor over the partitions that its group gives it.

    Args:
        settings: How to reach Kafka.
        log: The same Kafka, as a log.
        store: Where effects go; shared by the whole group.
        processor: What computes them; its group is the consumer group.
        topics: Full names of what it reads, in the generation in use.
        batch_records: Most records in one batch.
        interval_s: Batches begin at ticks so far apart, unless there is more than one of them; see `Pump`.
        session_timeout_s: A worker that is silent for so long loses its partitions.
        on_progress: Told after every applied batch.
        on_retry: Told whenever something is tried again.
        on_assigned: Told which partitions the group gave this worker, each time that they are shared out.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        log: Log,
        store: MemoryStore,
        processor: Processor,
        *,
        topics: Sequence[str],
        batch_records: int = 1000,
        interval_s: float = 0.0,
        session_timeout_s: float = 10.0,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        on_retry: Callable[[RetryLater], None] = lambda error: None,
        on_assigned: Callable[[list[TopicPartition]], None] = lambda partitions: None,
    ) -> None:
        def pump(commit: Commit) -> Pump:
            return Pump(
                log,
                store,
                processor,
                commit=commit,
                batch_records=batch_records,
                interval_s=interval_s,
                on_progress=on_progress,
                on_retry=on_retry,
                on_put_aside=putting_aside(processor.group),
            )

        super().__init__(
            settings,
            processor.group,
            topics,
            pump,
            session_timeout_s=session_timeout_s,
            on_assigned=on_assigned,
        )
