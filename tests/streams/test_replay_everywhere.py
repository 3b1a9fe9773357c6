"""Wherever a log is copied to, the same digest: live, replayed, archived, restored, on SQLite and on Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fakes.directories import directory
from fakes.words import wordllama
from helamem.schemas.ids import memory_id
from helamem.schemas.topics import TOPICS
from helamem.streams.archive.archiver import Archiver
from helamem.streams.archive.files import Files, LocalFiles
from helamem.streams.archive.log import ArchiveLog
from helamem.streams.archive.restore import restore_home, restore_into
from helamem.streams.archive.run import archive_round
from helamem.streams.async_memory import AsyncMemory
from helamem.streams.audit.checkpoints import publish
from helamem.streams.audit.keys import key_text
from helamem.streams.audit.verify import verify
from helamem.streams.home import wall_clock_ms
from helamem.streams.ingest.incoming import BadLine
from helamem.streams.ingest.locomo import read_locomo, read_samples
from helamem.streams.instance import Instance
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.kafka_topics import apply_topics
from helamem.streams.log.port import Log
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.rebuild import Replayed
from helamem.streams.replay import replay, replay_archive, replay_kafka
from streams.cli.fleet import Fleet, fleet, kafka, own_kafka
from streams.test_replay import Interrupted

__all__ = ["fleet", "kafka", "own_kafka"]

pytestmark = pytest.mark.slow  # the broker takes seconds to start

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CONVERSATIONS = 2
QUESTIONS = 60
"""Of each conversation; there are more, which would say no more."""


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


async def learned(home: Path, locomo: Path) -> str:
    """Live through conversations, ask their questions, say what was of use, and return the digest."""
    samples = read_samples(locomo)[:CONVERSATIONS]
    spaces = {sample.space.encode() for sample in samples}
    said = [line.record for line in read_locomo(locomo, None) if not isinstance(line, BadLine)]
    instance = await Instance.open(home, embedder=wordllama())
    async with AsyncMemory(instance) as memory:
        await instance.log.append([record for record in said if record.key in spaces])
        await memory.process()
        for sample in samples:
            asked = [question for question in sample.questions if len(question.evidence) > 1][:QUESTIONS]
            for question in asked:
                answer = await memory.recall(sample.space, question.text, as_of=sample.end_ms)
                found = {hit.result.id for hit in answer.hits if hit.turn}
                useful = [id_ for one in question.evidence if (id_ := memory_id(sample.space, one)) in found]
                for _ in range(3 if len(useful) > 1 else 0):
                    await memory.reinforce(answer.recall_id, useful, space=sample.space)
        await memory.process()
        counts = instance.counts
        assert min(counts["encoded"], counts["edges-created"], counts["hub-formed"], counts["distilled"]) > 0, counts
        return (await memory.digest()).digest


async def archived(log: Log, to: Path) -> None:
    """Archive and sign a log, and verify both."""

    async def to_log(files: Files, archive_id: str) -> int:
        return await publish(log, files, archive_id)

    archiver = Archiver(LocalFiles(to), KEY, wall_clock_ms)
    await archive_round(archiver, log, TOPICS, to_log)
    found = await verify(archiver.reader, log, TOPICS, {key_text(KEY.public_key()): KEY.public_key()})
    assert (found.findings, found.uncovered) == ((), 0)


def interrupt(done: int, total: int) -> None:
    """End a replay in its middle."""
    if done > total // 2:
        raise Interrupted


async def test_the_same_digest_wherever_the_log_is(
    fleet: Fleet, locomo_dev: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With learning on: links, hubs and facts; and a replay of Kafka that is interrupted goes on."""
    settings = KafkaSettings(bootstrap_servers=fleet.broker.servers)
    digests: dict[str, Replayed] = {}
    wanted = await learned(place / "home", locomo_dev)
    digests["of the home"] = await replay(place / "home", place / "1", embedder=wordllama())
    async with await SqliteLog.open(place / "home" / "log.sqlite", TOPICS, wall_clock_ms) as log:
        await archived(log, place / "archive")
    digests["of its archive"] = await replay_archive(str(place / "archive"), place / "2", embedder=wordllama())
    async with await ArchiveLog.open(str(place / "archive"), TOPICS) as archive:
        await restore_home(archive, TOPICS, place / "restored")
        await apply_topics(settings, TOPICS, 1)
        async with await KafkaLog.open(settings, TOPICS) as on_kafka:
            await restore_into(archive, TOPICS, on_kafka)
            await archived(on_kafka, place / "archive of Kafka")
    digests["of a restored home"] = await replay(place / "restored", place / "3", embedder=wordllama())
    with monkeypatch.context() as patch:
        patch.setattr("helamem.streams.rebuild._MESSAGES", 100)
        with pytest.raises(Interrupted):
            await replay_kafka(place / "4", settings, embedder=wordllama(), on_progress=interrupt)
    digests["of Kafka"] = await replay_kafka(place / "4", settings, embedder=wordllama())
    async with await ArchiveLog.open(str(place / "archive of Kafka"), TOPICS) as archive:
        await restore_home(archive, TOPICS, place / "from Kafka")
    digests["of a home restored from Kafka's archive"] = await replay(
        place / "from Kafka", place / "5", embedder=wordllama()
    )
    assert {name: one.digest.digest for name, one in digests.items()} == dict.fromkeys(digests, wanted)
    assert all(one.reproduced for one in digests.values())
