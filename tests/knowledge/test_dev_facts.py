"""Facts of five long conversations, from the extractive distiller: each rests on its evidence, and none comes twice."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from fakes.directories import directory
from fakes.events import event
from fakes.machine import Machine, machine
from helamem.processors.consolidation.dates import mentions
from helamem.processors.consolidation.standing import ended
from helamem.processors.store.port import FactRecord, Turn
from helamem.schemas.events import ClusterMember, HubFormed
from helamem.schemas.times import from_ms
from helamem.schemas.wire import Event
from helamem.streams.ingest.formats import read_file
from helamem.streams.ingest.incoming import Incoming

SAME = 0.8
"""Share of common words (Jaccard) from which two facts of a space would count as the same."""
CLUSTER, STRIDE = 8, 5
OURS = frozenset("yes no none single married engaged dating with retired vegetarian".split())
"""Words of values that no speaker has to say."""
_ADDED = re.compile(r" \[(\d{4}[-/\d]*)\]")
_LINE = re.compile(r"(?P<day>\d{4}-\d{2}-\d{2}) (?P<speaker>[^:]+): (?P<said>.*)")
_NAMES = re.compile(r"\b[A-Z][\w'’-]+")


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


@pytest.fixture
async def one(place: Path) -> AsyncIterator[Machine]:
    async with machine(place) as opened:
        yield opened


def hubs(turns: Sequence[Turn]) -> list[Event]:
    """Return a hub for each run of turns, so that every turn is in one and runs overlap."""
    made = []
    for start in range(0, len(turns) - 1, STRIDE):
        first, *others = turns[start : start + CLUSTER]
        cluster = tuple(ClusterMember(memory_id=turn.id, weight=9 << 20) for turn in others)
        data = HubFormed(memory_id=first.id, strength=1, degree=len(others), cluster=cluster, cause="e", applied={})
        made.append(event(f"hub-{first.id}", data, space=first.space, time_ms=turns[-1].time_ms))
    return made


def words(text: str) -> frozenset[str]:
    """Return what is said, without days and names of speakers."""
    said = " ".join(match["said"] for match in map(_LINE.fullmatch, text.splitlines()) if match)
    return frozenset(re.findall(r"[\w']+", _ADDED.sub("", said).lower()))


def unsupported(fact: FactRecord, turns: dict[str, Turn]) -> list[str]:
    """Return what of a fact its evidence does not say."""
    evidence = [turns[id_] for id_ in fact.evidence]
    wrong = [problem for line in fact.text.splitlines() for problem in unsupported_line(line, evidence)]
    texts = " ".join(turn.text for turn in evidence).casefold()
    speakers = {turn.speaker for turn in evidence}
    owner, _, relative = fact.subject.partition("'s ")
    if fact.subject not in speakers and not (owner in speakers and relative and relative.casefold() in texts):
        wrong += [] if fact.subject.casefold() in texts else [f"subject {fact.subject}"]
    wrong += [f"value {word}" for word in fact.value.split() if word not in texts and word not in OURS]
    return wrong


def unsupported_line(line: str, evidence: Sequence[Turn]) -> list[str]:
    """Return what of one quoted line the evidence does not say: words, names, dates, speaker and day."""
    match = _LINE.fullmatch(line)
    if match is None:
        return [f"no day and speaker in {line}"]
    plain = _ADDED.sub("", match["said"])
    theirs = [
        turn
        for turn in evidence
        if (turn.speaker, from_ms(turn.time_ms).date().isoformat()) == (match["speaker"], match["day"])
    ]
    texts = " ".join(" ".join(turn.text.split()) for turn in theirs)
    meant = {one.absolute for turn in theirs for one in mentions(turn.text, from_ms(turn.time_ms).date())}
    wrong = [f"words {said}" for said in re.split(r"(?<=[.!?…]) ", " ".join(plain.split())) if said not in texts]
    wrong += [f"date {date}" for date in set(_ADDED.findall(match["said"])) - meant]
    return wrong + [f"name {name}" for name in _NAMES.findall(plain) if name not in texts]


async def test_every_fact_is_supported_and_none_comes_twice(one: Machine, locomo_dev: Path) -> None:
    """Words, speakers, days, relative dates, names, subjects and values are those of the evidence."""
    records = [found.record for found in read_file(locomo_dev, "locomo", None) if isinstance(found, Incoming)]
    await one.log.append(records)
    await one.settle()
    spaces = list(await one.store.spaces())
    all_turns: dict[str, Turn] = {}
    for space in spaces:
        turns = sorted([turn async for turn in one.store.scan_turns(space)], key=lambda t: (t.time_ms, t.turn))
        all_turns |= {turn.id: turn for turn in turns}
        await one.append(*hubs(turns))
    await one.settle(batch_records=50)
    facts = [fact async for fact in one.store.scan_facts(None)]
    assert len(facts) > 500
    assert sum(bool(fact.key) for fact in facts) > 80
    assert [(fact.text, wrong) for fact in facts if (wrong := unsupported(fact, all_turns))] == []
    doubles = []
    for space in spaces:
        of_space = [fact for fact in facts if fact.space == space]
        over = ended(of_space, max(turn.time_ms for turn in all_turns.values()))
        said = [(fact, words(fact.text)) for fact in of_space if fact.id not in over]
        for n, (fact, mine) in enumerate(said):
            for other, theirs in said[n + 1 :]:
                if len(mine & theirs) >= SAME * len(mine | theirs):
                    doubles.append((fact.text, other.text))
    assert doubles == []
