"""`MetricsSensor`: what Faust itself sees of a platform's agents, in seconds, under a prefix of its own.

Faust's own exporter keeps milliseconds, and makes its metrics in the process's global registry.
"""

from __future__ import annotations

import time
from typing import Any

from faust.sensors import Sensor
from faust.types import TP, AppT, EventT, StreamT
from faust.types.transports import ProducerT
from faust.types.tuples import PendingMessage, RecordMetadata

from helamem.streams.metrics import catalogue as c
from helamem.streams.metrics.registry import Metrics


class MetricsSensor(Sensor):
    """Counts what Faust tells; give it to `app.sensors.add`.

    Args:
        metrics: Where it is counted.
    """

    def __init__(self, metrics: Metrics) -> None:
        super().__init__()
        self._metrics = metrics
        metrics.add(c.FAUST_SEND_ERRORS, 0)

    def on_stream_event_in(self, tp: TP, offset: int, stream: StreamT[Any], event: EventT[Any]) -> dict[str, float]:
        """Begin to time an event."""
        return {"begin": time.perf_counter()}

    def on_stream_event_out(
        self, tp: TP, offset: int, stream: StreamT[Any], event: EventT[Any], state: dict[str, float] | None = None
    ) -> None:
        """Time an event that an agent has done with."""
        if state is not None:
            self._metrics.observe(c.FAUST_EVENT_SECONDS, time.perf_counter() - state["begin"], topic=tp.topic)

    def on_topic_buffer_full(self, tp: TP) -> None:
        """Count that an agent is slower than what comes."""
        self._metrics.add(c.FAUST_BUFFER_FULL, topic=tp.topic)

    def on_send_initiated(
        self, producer: ProducerT, topic: str, message: PendingMessage, keysize: int, valsize: int
    ) -> float:
        """Begin to time what an agent sends."""
        return time.perf_counter()

    def on_send_completed(self, producer: ProducerT, state: float, metadata: RecordMetadata) -> None:
        """Time what Kafka took."""
        self._metrics.observe(c.FAUST_SENDS, time.perf_counter() - state)

    def on_send_error(self, producer: ProducerT, exc: BaseException, state: float) -> None:
        """Count what Kafka did not take."""
        self._metrics.add(c.FAUST_SEND_ERRORS)

    def on_rebalance_start(self, app: AppT) -> dict[str, Any]:
        """Begin to time a rebalance."""
        return {"begin": time.perf_counter()}

    def on_rebalance_end(self, app: AppT, state: dict[str, Any]) -> None:
        """Time a rebalance that is over."""
        self._metrics.observe(c.FAUST_REBALANCE_SECONDS, time.perf_counter() - state["begin"])
