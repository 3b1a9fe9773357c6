"""What a whole instance counts: the same as its log says, whatever happens on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fakes.directories import directory
from fakes.machine import SETTINGS
from fakes.words import wordllama
from helamem.processors.encoding.reading import Reading, Said, read
from helamem.processors.store.edge import EdgeStore
from helamem.processors.store.port import Writes
from helamem.schemas.errors import RetryLater
from helamem.schemas.records import NewRecord
from helamem.schemas.topics import CONVERSATIONS, DEAD_LETTERS, HUBS, RECALLS
from helamem.streams import embedding_cache
from helamem.streams.async_memory import AsyncMemory, Message
from helamem.streams.embedding_cache import EmbeddingCache
from helamem.streams.metrics import Metrics
from helamem.streams.metrics import catalogue as c
from helamem.streams.metrics.watch import Watch
from helamem.streams.redrive import letters, redrive
from helamem.streams.replay import replay

TIME = datetime(2025, 3, 1, 10, tzinfo=UTC)
SPACE = "acme/anna"


def said(number: int, space: str = SPACE) -> Message:
    return Message(
        space=space,
        conversation=f"c{number % 3}",
        speaker="Anna",
        text=f"The tent near lake {number} is blue.",
        time=TIME + timedelta(minutes=number),
        message_id=f"m{number}",
    )


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def home() -> Iterator[Path]:
    with directory() as path:
        yield path / "home"


@pytest.fixture
async def memory(home: Path, metrics: Metrics) -> AsyncIterator[AsyncMemory]:
    opened = await AsyncMemory.open(home, settings=SETTINGS, embedder=wordllama(), metrics=metrics)
    async with opened:
        yield opened


async def live(memory: AsyncMemory) -> None:
    """Have messages said, recalled and reinforced until hubs form."""
    await memory.append([said(number) for number in range(12)])
    await memory.process()
    for _ in range(3):
        recalled = await memory.recall(SPACE, "Which tent is blue?", facts=3)
        await memory.reinforce(recalled.recall_id, [hit.result.id for hit in recalled.hits if hit.turn][:4])
        await memory.process()


async def test_counters_agree_with_what_was_done(memory: AsyncMemory, metrics: Metrics) -> None:
    """Outcomes, edges, hubs and facts are those of the processors' own counts."""
    await live(memory)
    counts = memory.instance.counts
    assert counts["hub-formed"] > 0
    assert counts["facts-emitted"] > 0
    for name, metric in (
        ("edges-updated", c.EDGES_UPDATED),
        ("edges-created", c.EDGES_CREATED),
        ("hub-formed", c.HUBS_FORMED),
        ("facts-emitted", c.FACTS_EMITTED),
    ):
        assert metrics.value(metric) == counts[name] > 0
    for group, outcome in (("encoding", "encoded"), ("co-activation", "reinforced"), ("consolidation", "distilled")):
        assert metrics.value(c.PROCESSED, group=group, outcome=outcome) == counts[outcome] > 0
    assert metrics.value(c.EDGE_DEGREE) > 0
    assert metrics.value(c.EDGE_WEIGHT) > metrics.value(c.EDGE_DEGREE)
    assert metrics.value(c.APPENDED, topic=HUBS.name) == counts["hub-formed"]


async def test_what_was_read_is_kept_as_without_metrics(
    memory: AsyncMemory, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache is asked as what it is, so a replay of a home that was measured reads no text again either."""
    await memory.append([said(number) for number in range(3)])
    await memory.process()
    assert metrics.value(c.EMBEDDING_TEXTS) == metrics.value(c.EMBEDDING_COMPUTED) == 3
    texts: list[str] = []

    def noted(one: Said) -> Reading:
        texts.append(one.text)
        return read(one)

    monkeypatch.setattr(embedding_cache, "read", noted)
    with EmbeddingCache(wordllama(), memory.instance.home.embeddings_path, read_only=True) as cache:
        messages = [Said("Anna", said(number).text, sealed=False) for number in range(3)]
        assert cache.embed_and_read(messages)[1] == [read(one) for one in messages]
    assert texts == []


async def test_every_record_is_consumed_once(memory: AsyncMemory, metrics: Metrics) -> None:
    """By topic and partition, the records consumed are those of the log, and then nothing lags."""
    await live(memory)
    ends = await memory.instance.ends()
    for partition, end in ends.items():
        if partition.topic in {CONVERSATIONS.name, RECALLS.name, HUBS.name}:
            group = {CONVERSATIONS.name: "encoding", RECALLS.name: "co-activation"}.get(
                partition.topic, "consolidation"
            )
            labels = {"group": group, "topic": partition.topic, "partition": str(partition.partition)}
            assert metrics.value(c.CONSUMED, **labels) == end
    await Watch(metrics, log=memory.instance.log, home=memory.instance.home.path).look()
    for partition, end in ends.items():
        if partition.topic == CONVERSATIONS.name:
            labels = {"group": "encoding", "topic": partition.topic, "partition": str(partition.partition)}
            assert metrics.value(c.COMMITTED, **labels) == end
            assert metrics.value(c.LAG_RECORDS, **labels) == metrics.value(c.LAG_SECONDS, **labels) == 0
    assert metrics.value(c.HOME_BYTES, part="log") > 0
    assert metrics.value(c.HOME_BYTES, part="store") > 0
    assert metrics.value(c.HOME_FREE_BYTES) > 0


async def test_freshness_counts_each_message_twice(memory: AsyncMemory, metrics: Metrics) -> None:
    """Since its event time, which is long ago here, and since its append, which is not."""
    await memory.append([said(number) for number in range(7)])
    await memory.process()
    text = metrics.text().decode()
    assert metrics.value(c.FRESHNESS, since="event") == 7
    assert 'helamem_freshness_seconds_bucket{le="86400.0",since="event"} 0.0' in text
    assert metrics.value(c.FRESHNESS, since="append") >= 7
    assert 'helamem_freshness_seconds_bucket{le="86400.0",since="append"} 0.0' not in text


async def test_every_stage_of_batches_and_recalls_is_timed(memory: AsyncMemory, metrics: Metrics) -> None:
    """None of the stages that the catalogue names is missing."""
    await live(memory)
    for stage in ("read", "decode", "process", "embed", "store", "commit"):
        assert metrics.value(c.STAGE_SECONDS, group="encoding", stage=stage) > 0, stage
    assert metrics.value(c.STAGE_SECONDS, group="co-activation", stage="emit") > 0
    for stage in ("total", *c.RECALL_STAGES):
        assert metrics.value(c.RECALL_SECONDS, stage=stage) == 3, stage
    assert metrics.value(c.RECALLS) == 3
    assert metrics.value(c.RECALL_RESULTS, path="base") > 0


async def test_the_cache_is_what_was_not_computed(home: Path, metrics: Metrics) -> None:
    """The same words in another space need no second computation."""
    opened = await AsyncMemory.open(home, settings=SETTINGS, embedder=wordllama(), metrics=metrics)
    async with opened as memory:
        for space in (SPACE, "acme/tom"):
            await memory.append([said(number, space) for number in range(5)])
            await memory.process()
    assert metrics.value(c.EMBEDDING_TEXTS) == 10
    assert metrics.value(c.EMBEDDING_COMPUTED) == 5


async def test_dead_letters_are_counted(memory: AsyncMemory, metrics: Metrics) -> None:
    """Junk is put aside, counted where it happens and where the topic is looked at."""
    junk = NewRecord(topic=CONVERSATIONS.name, key=b"acme/anna", value=b"{}", partition=0)
    await memory.instance.log.append([junk])
    await memory.process()
    assert metrics.value(c.DEAD_LETTERED, group="encoding") == 1
    await Watch(metrics, log=memory.instance.log).look()
    assert metrics.value(c.DEAD_LETTERS_HELD) == 1


async def test_what_may_come_is_shown_from_the_start(memory: AsyncMemory, metrics: Metrics) -> None:
    """A counter that appears with its first count has no rate, and no alert would see that count."""
    text = metrics.text().decode()
    for line in (
        'helamem_batches_failed_total{group="encoding",reason="error"} 0.0',
        'helamem_records_dead_lettered_total{group="consolidation"} 0.0',
        'helamem_recall_results_total{path="association"} 0.0',
        'helamem_store_errors_total{call="write",reason="retry-later"} 0.0',
        'helamem_log_errors_total{call="append",reason="retry-later"} 0.0',
        "helamem_hubs_formed_total 0.0",
        "helamem_facts_retracted_total 0.0",
        "helamem_log_unacknowledged_records 0.0",
        "helamem_log_append_seconds_count 0.0",
        'helamem_stage_seconds_count{group="consolidation",stage="process"} 0.0',
        'helamem_recall_seconds_count{stage="total"} 0.0',
        'helamem_freshness_seconds_count{since="append"} 0.0',
        "helamem_edge_weight_count 0.0",
    ):
        assert f"\n{line}\n" in text, line


async def test_hubs_to_distil_and_those_given_up(memory: AsyncMemory, metrics: Metrics) -> None:
    """A hub that waits counts until it is distilled; one that cannot be is counted apart, and nothing stays."""
    look = Watch(metrics, log=memory.instance.log).look
    await live(memory)
    await look()
    assert (metrics.value(c.HUBS_TO_DISTIL), metrics.value(c.HUBS_ABANDONED)) == (0, 0)
    await memory.instance.log.append([NewRecord(topic=HUBS.name, key=SPACE.encode(), value=b"{}", partition=0)])
    await look()
    assert (metrics.value(c.HUBS_TO_DISTIL), metrics.value(c.HUBS_ABANDONED)) == (1, 0)
    await memory.process()
    await look()
    assert (metrics.value(c.HUBS_TO_DISTIL), metrics.value(c.HUBS_ABANDONED)) == (0, 1)


async def test_a_redriven_record_is_known_again(memory: AsyncMemory, metrics: Metrics) -> None:
    """What the embedder choked on is put aside, and processed once the embedder is well."""
    embedder = memory.instance._pumps[0]._processor._processor._embedder._embedder  # type: ignore[attr-defined]
    healthy = embedder.embed_and_read
    embedder.embed_and_read = lambda messages: (_ for _ in ()).throw(ValueError("broken"))
    await memory.append([said(1)])
    await memory.process()
    embedder.embed_and_read = healthy
    assert metrics.value(c.DEAD_LETTERED, group="encoding") == 1
    assert metrics.value(c.FAILED, group="encoding", reason="error") > 0
    await redrive(memory.instance.log, await letters(memory.instance.log))
    await memory.process()
    assert metrics.value(c.REDRIVEN, group="encoding") == 1
    assert memory.instance.counts["encoded"] == 1


async def test_what_is_away_is_counted(home: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that refuses twice gives two errors and two retries, and nothing is lost."""
    refusals = iter((1, 2))
    write = EdgeStore.write

    async def refusing(self: EdgeStore, writes: Writes) -> None:
        if next(refusals, None):
            raise RetryLater("the disk is full; free some space")
        await write(self, writes)

    monkeypatch.setattr(EdgeStore, "write", refusing)
    async with await AsyncMemory.open(home, settings=SETTINGS, embedder=wordllama(), metrics=metrics) as memory:
        await memory.append([said(1)])
        await memory.process()
        assert memory.instance.counts["encoded"] == 1
    assert metrics.value(c.STORE_ERRORS, call="write", reason="retry-later") == 2
    assert sum(metrics.value(c.RETRIES, group=group) for group in ("encoding", "co-activation")) == 2


async def test_a_replay_counts_nothing(memory: AsyncMemory, metrics: Metrics, home: Path) -> None:
    """Live metrics stay as they were while the same log is replayed in the same process."""
    await live(memory)
    await Watch(metrics, log=memory.instance.log).look()

    def ours() -> list[str]:
        return [line for line in metrics.text().decode().splitlines() if line.startswith("helamem_")]

    before = ours()
    replayed = await replay(home, home.parent / "rebuilt", embedder=wordllama())
    assert replayed.digest.digest == (await memory.digest()).digest
    changed = {line for line in ours() if line not in before}
    assert not {line for line in changed if not line.startswith(("helamem_lag", "helamem_home"))}


async def test_measuring_changes_no_memory(memory: AsyncMemory) -> None:
    """The same messages give the same digest with metrics as without."""
    await memory.append([said(number) for number in range(12)])
    await memory.process()
    with directory() as other:
        async with await AsyncMemory.open(other / "home", settings=SETTINGS, embedder=wordllama()) as unmeasured:
            assert unmeasured.instance.metrics is None
            await unmeasured.append([said(number) for number in range(12)])
            await unmeasured.process()
            assert (await unmeasured.digest()).digest == (await memory.digest()).digest


async def test_series_do_not_grow_with_spaces(memory: AsyncMemory, metrics: Metrics) -> None:
    """A hundred further spaces add no series but those of partitions that had nothing yet."""

    async def series(first: int, count: int) -> int:
        await memory.append([said(1, f"acme/space-{number}") for number in range(first, first + count)])
        await memory.process()
        for number in range(first, first + count, 10):
            await memory.recall(f"acme/space-{number}", "Which tent?")
        await memory.process()
        return metrics.text().count(b"\n")

    few = await series(0, 100)
    assert await series(100, 200) == few
    assert b"space-" not in metrics.text()


async def test_lag_in_seconds_counts_from_when_a_record_was_there(home: Path, metrics: Metrics) -> None:
    """Nobody processes: the age grows with the clock, and a look at the log takes no record from it."""
    now = [1_000_000]
    async with await AsyncMemory.open(home, settings=SETTINGS, embedder=wordllama()) as memory:
        await memory.process()
        watch = Watch(metrics, log=memory.instance.log, clock=lambda: now[0])
        await watch.look()
        await memory.append([said(1)])
        await watch.look()
        now[0] += 30_000
        await watch.look()
        (partition,) = (
            at.partition
            for at in await memory.instance.log.partitions(CONVERSATIONS.name)
            if metrics.value(c.LAG_RECORDS, group="encoding", topic=at.topic, partition=str(at.partition))
        )
        labels = {"group": "encoding", "topic": CONVERSATIONS.name, "partition": str(partition)}
        assert metrics.value(c.LAG_RECORDS, **labels) == 1
        assert metrics.value(c.LAG_SECONDS, **labels) == 30
        await memory.process()
        await watch.look()
        assert metrics.value(c.LAG_SECONDS, **labels) == 0
    assert metrics.value(c.APPENDED, topic=DEAD_LETTERS.name) == 0
