"""The demo: the whole loop on a bundled conversation, from messages to a fact and back to the same digest."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import orjson
from msgspec import Struct

from helamem.processors.hebbian.decay import CAP
from helamem.processors.hebbian.packing import unpack
from helamem.processors.recall.hits import Hit
from helamem.schemas.ids import derived_id, id_text, memory_id
from helamem.schemas.times import format_ms, parse_time
from helamem.schemas.topics import CONVERSATIONS
from helamem.streams.async_memory import AsyncMemory
from helamem.streams.ingest.formats import read_file
from helamem.streams.ingest.incoming import Incoming, carrying
from helamem.streams.instance import Instance
from helamem.streams.replay import replay
from helamem.streams.tracing.untraced import UNTRACED, Untraced

Report = dict[str, Any]
_SHOWN = 3


class Step(Struct, frozen=True, kw_only=True):
    """What the demo is doing now."""

    name: str
    done: int
    total: int


async def play(
    home: Path,
    rebuilt: Path,
    on_step: Callable[[Step], None] = lambda step: None,
    tracing: Untraced = UNTRACED,
) -> Report:
    """Play the bundled conversation into a new home, and return what happened, as plain data.

    Args:
        home: A new or empty directory.
        rebuilt: Another one, for the projection that is rebuilt from the log.
        on_step: Told about progress.
        tracing: What makes spans of it.
    """
    questions = orjson.loads(files("helamem.streams.demo").joinpath("questions.json").read_bytes())
    asked, showcase = questions["questions"], questions["showcase"]
    now_ms = max(parse_time(question["at"]) for question in asked) + 86_400_000
    numbers = itertools.count(1)

    def next_id() -> str:
        """Return ids that are the same in every demo, so that its digest is."""
        return derived_id("demo", str(next(numbers)))

    async with AsyncMemory(await Instance.open(home, tracing=tracing), new_id=next_id) as memory:
        messages = await _ingest(memory, on_step)
        before = [await _show(memory, case, now_ms) for case in showcase]
        for number, question in enumerate(asked, start=1):
            await _ask(memory, question)
            on_step(Step(name="asking what the agents asked in November", done=number, total=len(asked)))
        await memory.process(lambda progress: on_step(Step(name="learning from it", done=0, total=1)))
        on_step(Step(name="learning from it", done=1, total=1))
        after = [await _show(memory, case, now_ms) for case in showcase]
        facts = await memory.facts()
        report: Report = {
            "messages": messages,
            "spaces": await memory.spaces(),
            "recalls": len(asked),
            "recall": [
                {
                    "space": case["space"],
                    "query": case["query"],
                    "associated": memory_id(case["space"], case["expects"][1]),
                    "before": early,
                    "after": late,
                }
                for case, early, late in zip(showcase, before, after, strict=True)
            ],
            "edges": await _strongest(memory),
            "facts": [
                {
                    "id": fact.id,
                    "space": fact.space,
                    "kind": fact.kind,
                    "subject": fact.subject,
                    "text": fact.text,
                    "evidence": [turn.message_id for turn in await _evidence(memory, fact.space, fact.evidence)],
                }
                for fact in facts
            ],
            "fact_recalled": await _recall_fact(memory, showcase, now_ms),
            "digest": {"live": (await memory.digest()).digest},
            "counts": dict(sorted(memory.instance.counts.items())),
        }
    replayed = await replay(
        home,
        rebuilt,
        on_progress=lambda done, total: on_step(Step(name="rebuilding from the log", done=done, total=total)),
    )
    report["digest"] |= {
        "rebuilt": replayed.digest.digest,
        "equal": replayed.digest.digest == report["digest"]["live"],
        "hubs_equal": replayed.reproduced,
    }
    return report


async def _ingest(memory: AsyncMemory, on_step: Callable[[Step], None]) -> int:
    with as_file(files("helamem.streams.demo").joinpath("conversation.jsonl")) as path:
        records = [one.record for one in read_file(path, "jsonl", None) if isinstance(one, Incoming)]
    with memory.instance.tracing.sending(CONVERSATIONS.name, records=len(records)) as traceparent:
        await memory.instance.log.append([carrying(record, traceparent) for record in records])
    done = 0

    def note(processed: int) -> None:
        nonlocal done
        done += processed
        on_step(Step(name="remembering the conversations", done=min(done, len(records)), total=len(records)))

    await memory.process(lambda progress: note(progress.records))
    return len(records)


async def _ask(memory: AsyncMemory, question: dict[str, Any]) -> None:
    """Ask as an agent would, and say which of the results were of use."""
    space = question["space"]
    recalled = await memory.recall(space, question["query"], as_of=parse_time(question["at"]))
    used = {memory_id(space, message_id) for message_id in question["used"]}
    if found := [hit.result.id for hit in recalled.hits if hit.result.id in used]:
        await memory.reinforce(recalled.recall_id, found, space=space)
    await memory.process()


async def _show(memory: AsyncMemory, case: dict[str, Any], now_ms: int) -> list[Report]:
    recalled = await memory.recall(case["space"], case["query"], as_of=now_ms, record=False)
    return [_hit(hit, rank) for rank, hit in enumerate(recalled.hits, start=1) if hit.turn is not None]


def _hit(hit: Hit, rank: int) -> Report:
    assert hit.turn is not None
    return {
        "rank": rank,
        "id": hit.result.id,
        "path": hit.result.path,
        "score": hit.result.score,
        "via": hit.result.via,
        "time": format_ms(hit.turn.time_ms),
        "text": hit.text,
    }


async def _strongest(memory: AsyncMemory) -> list[Report]:
    """Return the strongest learned edges of all spaces, each once."""
    pairs: dict[tuple[str, str, str], int] = {}
    for row in await memory.edges():
        for neighbour, weight, _ in unpack(row.neighbours):
            one, other = sorted((row.memory_id, id_text(neighbour)))
            pairs[row.space, one, other] = weight
    strongest = sorted(pairs, key=lambda pair: (-pairs[pair], pair))[:_SHOWN]
    shown = []
    for space, one, other in strongest:
        turns = await memory.turns(space, [one, other])
        shown.append(
            {
                "space": space,
                "weight": round(pairs[space, one, other] / CAP, 6),
                "between": [f"{turns[id_].speaker}: {turns[id_].text}" for id_ in (one, other)],
            }
        )
    return shown


async def _evidence(memory: AsyncMemory, space: str, memory_ids: Sequence[str]) -> list[Any]:
    turns = await memory.turns(space, memory_ids)
    return [turns[id_] for id_ in memory_ids if id_ in turns]


async def _recall_fact(memory: AsyncMemory, showcase: Sequence[dict[str, Any]], now_ms: int) -> Report | None:
    """Return the first of the showcase questions that a distilled fact answers as well."""
    for case in showcase:
        recalled = await memory.recall(case["space"], case["query"], as_of=now_ms, record=False)
        for hit in recalled.hits:
            if hit.fact is not None:
                return {"query": case["query"], "space": case["space"], "fact": hit.fact.id, "text": hit.fact.text}
    return None
