"""Lag: what is left to be processed before given ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from fakes.events import message, reinforced
from fakes.machine import Watch, WatchedLog, machine
from helamem.processors.coactivation.processor import GROUP as CO_ACTIVATION
from helamem.schemas.records import TopicPartition
from helamem.schemas.topics import RECALLS
from helamem.streams.lag import ends_of, left_before
from helamem.streams.log.port import Log


class Trimmed(WatchedLog):
    """A log that holds nothing any more, as after Kafka's retention."""

    async def begin_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return where partitions end."""
        return await self._log.end_offsets(partitions)


async def test_only_what_stood_before_the_ends_is_left(tmp_path: Path) -> None:
    """What came in later is not counted, nor what is processed, nor what the log no longer holds."""
    async with machine(tmp_path) as one:
        await one.append(*[message(f"m{n}", "The lake is blue.") for n in range(3)], reinforced("u", ["m0", "m1"]))
        before = await ends_of(one.log)
        recalls = await ends_of(one.log, [CO_ACTIVATION])
        assert recalls.keys() == {*await one.log.partitions(RECALLS.name)}
        assert (await left_before(before, one.log, one.store), await left_before(recalls, one.log, one.store)) == (4, 1)
        trimmed = cast("Log", Trimmed(one.log, Watch()))
        assert await left_before(before, trimmed, one.store) == 0
        await one.settle()
        await one.append(message("m3", "The tent is blue."), message("m4", "So is the sky."))
        assert await left_before(before, one.log, one.store) == 0
        assert await left_before(await ends_of(one.log), one.log, one.store) == 2
