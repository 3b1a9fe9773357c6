"""Traces of an embedded memory: what they change (nothing), what replays trace (nothing), and what they never hold."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from fakes.directories import directory
from fakes.words import wordllama
from helamem.processors.embedder.port import Embedder
from helamem.processors.recall.hits import Hit
from helamem.schemas.errors import BadInput
from helamem.schemas.ids import derived_id, fact_id
from helamem.schemas.topics import CONVERSATIONS, TOPICS
from helamem.schemas.traceparent import caused, parse
from helamem.schemas.wire import decode
from helamem.streams.async_memory import AsyncMemory, Message
from helamem.streams.cli.tracing import tracing
from helamem.streams.ingest.incoming import record_of
from helamem.streams.replay import replay
from helamem.streams.sealing.tenants import seal_tenant
from helamem.streams.tracing.otel import Tracing
from helamem.streams.tracing.untraced import UNTRACED, Untraced
from streams.cli.shell import _environment

SPACE = "acme/anna"
TIME = datetime(2025, 3, 1, 10, tzinfo=UTC)
WORDS = ("I love zeppelins.", "I moved to Tromsø.", "My sister is called Ottoline.", "I prefer marmalade to honey.")


@pytest.fixture
def folder() -> Iterator[Path]:
    with directory() as path:
        yield path


async def live(home: Path, traced: Untraced, embedder: Embedder | None = None) -> tuple[str, list[Hit]]:
    """Say, ask and reinforce until there are hubs and facts; return the digest and what was found in the end."""
    numbers = iter(range(1000))
    async with await AsyncMemory.open(home, embedder=embedder or wordllama(), tracing=traced) as memory:
        memory._new_id = lambda: f"id-{next(numbers)}"
        memory._clock = lambda: int(TIME.timestamp() * 1000) + 3_600_000
        messages = [
            Message(
                space=SPACE,
                conversation="c",
                speaker="Anna",
                text=text,
                time=TIME + timedelta(minutes=number),
                message_id=f"m{number}",
            )
            for number, text in enumerate(WORDS)
        ]
        ids = await memory.append(messages)
        await memory.process()
        for _ in range(3):
            recalled = await memory.recall(SPACE, "What does Anna love, zeppelins or marmalade?")
            await memory.reinforce(recalled.recall_id, ids, space=SPACE)
        await memory.process()
        answer = await memory.recall(SPACE, " ".join(fact.text for fact in await memory.facts()))
        await memory.process()
        return (await memory.digest()).digest, list(answer.hits)


async def test_a_trace_changes_nothing_that_is_remembered(folder: Path) -> None:
    """With traces and without: the same digest; and a replay of the traced log gives the same hubs, and no spans."""
    exporter = InMemorySpanExporter()
    traced = Tracing("sqlite", exporter)
    digest, hits = await live(folder / "traced", traced)
    traced._provider.force_flush()
    assert {"hub formed", "fact distilled", "recall"} <= {span.name for span in exporter.get_finished_spans()}
    assert any(hit.fact is not None and hit.fact.traceparent for hit in hits)
    exporter.clear()
    assert (await live(folder / "plain", UNTRACED))[0] == digest
    replayed = await replay(folder / "traced", folder / "again", embedder=wordllama())
    traced.close()
    assert (replayed.digest.digest, replayed.reproduced) == (digest, True)
    assert replayed.hubs.derived > 0
    assert exporter.get_finished_spans() == ()


async def test_an_event_names_a_span_that_is_exported(folder: Path) -> None:
    """Every context in the log is that of a span; what is derived has its cause above it, in the same trace."""
    exporter = InMemorySpanExporter()
    traced = Tracing("sqlite", exporter)
    await live(folder / "home", traced)
    traced.close()
    spans = {(span.context.trace_id, span.context.span_id): span for span in exporter.get_finished_spans()}
    named = [one for one in await _contexts(folder / "home") if one is not None]
    assert len(named) > len(WORDS)
    for traceparent in named:
        context = parse(traceparent)
        assert context is not None
        assert (context.trace_id, context.span_id) in spans
    recalls = [span for span in spans.values() if span.name == "recall"]
    linked = {spans[link.context.trace_id, link.context.span_id].name for one in recalls for link in one.links}
    assert linked == {"encode conversation.message", "encode knowledge.distilled"}


async def _contexts(home: Path) -> list[str | None]:
    async with await AsyncMemory.open(home, embedder=wordllama()) as memory:
        log = memory.instance.log
        partitions = [at for spec in TOPICS for at in await log.partitions(spec.name)]
        return [decode(record.value).traceparent for at in partitions for record in await log.read(at, 0)]


class Talkative:
    """An embedder that quotes what it cannot take."""

    name = wordllama().name
    quick = wordllama().quick
    dimension = wordllama().dimension

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Refuse one text, by its words."""
        if refused := next((text for text in texts if "zeppelin" in text), None):
            raise ValueError(f"cannot embed {refused!r}")
        return np.asarray(wordllama().embed(texts), dtype=np.float32)


async def test_no_span_holds_a_word(folder: Path) -> None:
    """Neither what succeeds nor what fails quotes messages, queries, facts or spaces; failures say of what kind."""
    exporter = InMemorySpanExporter()
    traced = Tracing("sqlite", exporter)
    with pytest.raises(ValueError, match="cannot embed"):
        await live(folder / "failing", traced, Talkative())
    await live(folder / "home", traced)
    traced.close()
    spans = exporter.get_finished_spans()
    failures = [span for span in spans if span.status.status_code is StatusCode.ERROR]
    assert {span.status.description for span in failures} == {"ValueError"}
    written = " ".join(str(span.to_json()) for span in spans).lower()
    for word in {*re.findall(r"\w{4,}", " ".join(WORDS).lower()), SPACE, "anna", "what does"} - {"called"}:
        assert word not in written, word


async def test_what_is_sealed_has_no_hash_of_its_words_in_a_span(folder: Path) -> None:
    """The id of a fact before it was sealed follows from its words without a key: no span has it, nor its number."""
    exporter = InMemorySpanExporter()
    traced = Tracing("sqlite", exporter)
    await seal_tenant(folder / "home", "acme")
    _, hits = await live(folder / "home", traced)
    traced.close()
    spans = exporter.get_finished_spans()
    distilled = [span for span in spans if span.name == "fact distilled"]
    assert distilled
    assert not [span for span in distilled if "messaging.message.id" in (span.attributes or {})]
    hubs = {
        span.context.span_id: str((span.attributes or {})["messaging.message.id"])
        for span in spans
        if span.name == "hub formed"
    }
    facts = [hit.fact for hit in hits if hit.fact is not None]
    assert facts
    unkeyed = [
        derived_id("distilled", hub, fact_id(SPACE, fact.kind, fact.text)) for fact in facts for hub in hubs.values()
    ]
    named = [parse(caused(f"00-{'1' * 32}-{'1' * 16}-01", one)) for one in unkeyed]
    assert not {one.span_id for one in named if one is not None} & {span.context.span_id for span in spans}
    written = " ".join(str(span.to_json()) for span in spans)
    assert not [one for one in unkeyed if one in written]


async def test_what_is_not_sampled_is_not_exported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sampler of OpenTelemetry's variables decides; an event says so, and nothing follows it."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    exporter = InMemorySpanExporter()
    traced = Tracing("sqlite", exporter)
    await live(folder / "home", traced)
    traced.close()
    assert exporter.get_finished_spans() == ()
    flags = {context.flags & 1 for one in await _contexts(folder / "home") if (context := parse(one)) is not None}
    assert flags == {0}


async def test_a_recorded_message_has_its_batch_recorded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where few traces are recorded, a batch with such a message in it is one of them."""
    sender = Tracing("sqlite", InMemorySpanExporter())
    with sender.sending(CONVERSATIONS.name) as traceparent:
        pass
    sender.close()
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    exporter = InMemorySpanExporter()
    later = Tracing("sqlite", exporter)
    async with await AsyncMemory.open(folder / "home", embedder=wordllama(), tracing=later) as memory:
        event = memory._message(
            Message(space=SPACE, conversation="c", speaker="Anna", text="A zeppelin.", time=TIME), traceparent
        )
        await memory.instance.log.append([record_of(event)])
        await memory.process()
    later.close()
    names = [span.name for span in exporter.get_finished_spans()]
    assert "encode conversation.message" in names
    assert f"encode {CONVERSATIONS.name}" in names


def test_a_wrong_switch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the variable and its values."""
    monkeypatch.setenv("HELAMEM_TRACES", "jaeger")
    with pytest.raises(BadInput, match="HELAMEM_TRACES is 'jaeger'; it must be off or otlp"), tracing("sqlite"):
        pass


def test_off_nothing_of_it_is_imported() -> None:
    """Neither the library nor a worker needs OpenTelemetry, nor waits for its import."""
    program = (
        "import sys, helamem.streams.async_memory, helamem.streams.fleet.worker, helamem.streams.cli.worker;"
        "sys.exit('opentelemetry' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, env=_environment()).returncode == 0
