"""`helamem topics migrate` that kills itself: `HOW STEP NUMBER PARTITIONS`, before the step is done for that time.

Instead of killing itself (`kill`) it can stand still (`stop`, until SIGCONT), or wait there and keep its place in the
group (`wait`, until SIGUSR1). Batches are small, so that there is a middle, and Kafka is given 5 seconds to answer.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from helamem.streams.cli import main
from helamem.streams.config import Config
from helamem.streams.log import kafka_generations
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_producer import Producer
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.migrate import copying, migration
from helamem.streams.store_process.client import RemoteStore

THERE = "at the mark"
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
STEPS: dict[str, tuple[object, str]] = {
    "create": (migration, "prepare"),
    "seal": (migration, "seal"),
    "send": (Producer, "send"),
    "compare": (migration, "check"),
    "checkpoint": (RemoteStore, "save_checkpoint"),
    "commit": (KafkaLog, "commit"),
    "switch": (migration, "put_in_use"),
    "configs": (kafka_generations, "change_configs"),
    "switched": (migration, "in_use"),
}


def mark(how: str, step: str, number: int) -> None:
    """Have the process end, stand still or wait there."""
    owner, name = STEPS[step]
    work: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls != number:
            return work(*arguments, **options)
        print(THERE, file=sys.stderr, flush=True)  # noqa: T201 - whoever started it waits for that
        if how == "wait":
            return waited(work(*arguments, **options))
        os.kill(os.getpid(), SIGNALS[how])
        return work(*arguments, **options)

    setattr(owner, name, counted)


async def waited(work: Any) -> Any:
    """Do it when told to."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, told.set)
    await told.wait()
    return await work


def patience(seconds: float) -> None:
    """Wait so long for Kafka."""
    kafka = Config.kafka

    def impatient(self: Config) -> KafkaSettings:
        return replace(kafka(self), timeout_s=seconds)

    Config.kafka = impatient  # type: ignore[method-assign] # in a process of its own


if __name__ == "__main__":
    patience(5)
    copying.BATCH_RECORDS = 7
    mark(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    main(["topics", "migrate", "--partitions", sys.argv[4]])
