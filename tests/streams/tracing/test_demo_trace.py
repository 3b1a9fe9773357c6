"""One run of the demo, seen by a collector: a message, its memory, a recall, edges, a hub and a fact hang together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fixtures.otlp import Collector, Spanned, collector
from streams.cli.shell import run

__all__ = ["collector"]

PAGE = Path(__file__).parents[3] / "docs" / "traces.md"
COMMAND = re.compile(r"^HELAMEM_TRACES=otlp OTEL_EXPORTER_OTLP_ENDPOINT=\S+:4318 helamem (.+)$", re.MULTILINE)


@pytest.mark.slow
def test_one_message_leads_to_a_fact(collector: Collector) -> None:
    """From one distilled fact, parents and links lead back to the messages, and on to the fact's own memory."""
    (line,) = re.findall(
        r"^HELAMEM_TRACES=otlp OTEL_\S+ENDPOINT=\S+:4318 helamem (.+)$", PAGE.read_text(), re.MULTILINE
    )
    ran = run(*line.split())
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["digest"]["equal"]
    facts = collector.named("fact distilled")
    assert len(facts) == len(ran.json["facts"])
    whole = [fact for fact in facts if is_whole(collector, fact)]
    assert whole
    for span in collector.spans.values():
        assert span.parent is None or span.parent in collector.spans, span
        assert span.service == "helamem"
        assert not span.failed


def is_whole(collector: Collector, fact: Spanned) -> bool:
    """Return whether all that led to a fact is there, and what the fact itself became."""
    (encoded,) = collector.below(fact, "encode knowledge.distilled")
    assert collector.linked(encoded, "encode helamem.facts.g1")
    hub = collector.above(fact)
    assert hub.name == "hub formed"
    assert collector.below(hub, "distil memory.hub-formed")
    sent = collector.above(hub)
    assert sent.name == "send helamem.recalls.g1"
    (batch,) = collector.linked(hub, "fold helamem.recalls.g1")
    assert sent.number in batch.links
    assert collector.below(sent, "fold memory.recalled") or collector.below(sent, "fold memory.reinforced")
    recall = collector.above(sent)
    if recall.name != "recall":  # what the agent said it used, sent below the recall's own record
        assert recall.name == "send helamem.recalls.g1"
        recall = collector.above(recall)
    assert recall.name == "recall"
    for stage in ("embed", "search"):
        assert collector.below(recall, stage)
    memories = collector.linked(recall, "encode conversation.message")
    for memory in memories:
        assert collector.above(memory).name == "send helamem.conversations.g1"
        (batch,) = collector.linked(memory, "encode helamem.conversations.g1")
        assert collector.above(memory).number in batch.links
        assert collector.below(batch, "embed")
        assert collector.below(batch, "store")
    return bool(memories)
