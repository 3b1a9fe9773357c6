"""A fleet beside an embedded instance: the same conversations and recalls give the same memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.events import recalled, record, reinforced
from fakes.machine import machine
from fire.fleet import fleet
from fire.proof import difference, prove
from fixtures.kafka import Kafka
from helamem.processors.digest import digest
from helamem.schemas.records import NewRecord
from helamem.schemas.settings import Settings
from helamem.streams.home import wall_clock_ms
from helamem.streams.ingest.incoming import BadLine
from helamem.streams.ingest.locomo import read_locomo, read_samples
from helamem.streams.settings_log import apply_settings

pytestmark = pytest.mark.slow


def spoken(path: Path) -> list[NewRecord]:
    """Return every turn of the conversations."""
    lines = list(read_locomo(path, None))
    assert not any(isinstance(line, BadLine) for line in lines)
    return [line.record for line in lines if not isinstance(line, BadLine)]


def asked(path: Path, applied: dict[str, int]) -> Iterator[NewRecord]:
    """Yield for each question a recall that found what answers it, and the agent's word that all of it was of use.

    Args:
        path: The conversations with their questions.
        applied: Where the projection stood that answered.
    """
    for sample in read_samples(path):
        for number, question in enumerate(sample.questions):
            if len(question.evidence) > 1:
                id_ = f"{sample.space} {number}"
                space, time_ms = sample.space, sample.end_ms + number * 1000
                yield record(recalled(id_, question.evidence, space=space, time_ms=time_ms, applied=applied))
                for again in range(2):
                    yield record(reinforced(f"{id_} {again}", question.evidence, space=space, time_ms=time_ms))


async def test_two_workers_give_what_an_embedded_run_gives(broker: Kafka, locomo_dev: Path, tmp_path: Path) -> None:
    """Messages, recalls and what follows from them: the digests are equal, part by part."""
    said = spoken(locomo_dev)
    async with machine(tmp_path, settings=Settings()) as embedded:
        await apply_settings(embedded.log, Settings(), wall_clock_ms)
        places = await embedded.log.append(said)
        used = list(asked(locomo_dev, {str(at): offset + 1 for at, offset in places}))
        await embedded.log.append(used)
        await embedded.settle()
        alone = await digest(embedded.store)
    assert all(sum(space.counts[part] for space in alone.spaces.values()) for part in ("memories", "edges", "facts"))
    async with fleet(broker) as (running, log):
        workers = [running.worker(number) for number in range(2)]
        for worker in workers:
            worker.start()
        assert await log.append(said) == places
        await log.append(used)
        await running.drained(log)
        for worker in workers:
            await worker.end()
        store = await running.remote()
        try:
            together = await digest(store)
        finally:
            await store.close()
        assert together.digest == alone.digest, difference(together, alone)
        await prove(running, log)
