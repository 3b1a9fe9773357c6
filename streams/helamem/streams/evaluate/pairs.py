"""`helamem eval pairs`: whether a memory that a question cannot find comes along once it was used with another.

A line of the file is a *pair*: a first memory, which its question finds, a second one, which shares no content word
with that question and is needed to answer it all the same, and another question that finds both (`together`). Or it is
a memory by itself (`only`) with a question of its own. All stand in one space.

    {"first": {"day", "speaker", "text"}, "second": {…}, "question": "…", "together": "…"}
    {"only": {"day", "speaker", "text"}, "question": "…"}

Each question is asked before and after use, with nothing recorded. Use is, round by round: `together` is recalled for
each pair and the agent reinforces the two, as far as that recall returned them; every other question is recalled too,
and nothing is said about it. The same use is folded by three rules:

- `helamem`: the rule as it is by default; what was reinforced gains much, what was merely recalled little.
- `ungated`: the paper's η of 0.02 for each pair of every recall, in the same fold and ranking; nobody is asked.
- `paper`: HeLa-Mem as its paper states it, from one end to the other (`evaluate.paper`), but that nothing ages.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from math import inf
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct, structs

from helamem.processors.embedder.port import Embedder
from helamem.processors.encoding.content import spoken
from helamem.schemas.errors import BadInput
from helamem.schemas.ids import memory_id
from helamem.schemas.settings import EncodingSettings, HebbianSettings, Settings
from helamem.schemas.times import to_ms
from helamem.streams.async_memory import AsyncMemory, Message
from helamem.streams.evaluate.homes import evaluation_home
from helamem.streams.evaluate.paper import PaperMemory, PaperSettings
from helamem.streams.evaluate.statistics import mean, paired_interval

SPACE = "pairs/all"
UNGATED = HebbianSettings(eta_recalled=0.02, eta_reinforced=0.0)
"""The paper's rule in our fold: one η for each pair of every recall, and nothing for what an agent says it used."""


class Said(Struct, frozen=True, forbid_unknown_fields=True):
    """A memory of the set."""

    day: date
    speaker: str
    text: str


class Pair(Struct, frozen=True, forbid_unknown_fields=True):
    """Two memories that answer a question together."""

    first: Said
    second: Said
    question: str
    together: str


class Only(Struct, frozen=True, forbid_unknown_fields=True):
    """A memory that answers a question by itself."""

    only: Said
    question: str


class PairSet(Struct, frozen=True):
    """What a file holds."""

    pairs: tuple[Pair, ...]
    others: tuple[Only, ...]

    def messages(self) -> list[Message]:
        """Return all that is said, in the order of time; each day is a conversation."""
        messages = []
        for number, (message_id, one) in enumerate(sorted(self._said(), key=lambda item: (item[1].day, item[0]))):
            messages.append(
                Message(
                    space=SPACE,
                    conversation=one.day.isoformat(),
                    speaker=one.speaker,
                    text=one.text,
                    time=_noon(one.day) + timedelta(seconds=number),
                    message_id=message_id,
                )
            )
        return messages

    @property
    def asked_ms(self) -> int:
        """As of when all is asked: the noon after the last day."""
        return to_ms(_noon(max(one.day for _, one in self._said())) + timedelta(days=1))

    def _said(self) -> list[tuple[str, Said]]:
        said = [(f"first-{n}", one.first) for n, one in enumerate(self.pairs)]
        said += [(f"second-{n}", one.second) for n, one in enumerate(self.pairs)]
        return said + [(f"only-{n}", one.only) for n, one in enumerate(self.others)]


def _noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


class Ranks(Struct, frozen=True, kw_only=True):
    """What the questions found among their first k memories, 1 or 0 each."""

    first: list[float]
    second: list[float]
    others: list[float]


def read_pairs(path: Path) -> PairSet:
    """Return the set that a file holds; see the module's docstring.

    Raises:
        BadInput: A line is neither a pair nor a memory by itself, or there is no pair.
    """
    pairs: list[Pair] = []
    others: list[Only] = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            if b'"only"' in line:
                others.append(msgspec.json.decode(line, type=Only))
            else:
                pairs.append(msgspec.json.decode(line, type=Pair))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadInput(
                f"{path}, line {number}, is neither a pair (first, second, question, together) nor a memory by itself "
                f"(only, question): {error}"
            ) from None
    if not pairs:
        raise BadInput(f"{path} holds no pair; `helamem eval pairs --help` shows what a line is")
    return PairSet(tuple(pairs), tuple(others))


async def evaluate_pairs(
    path: Path,
    *,
    k: int = 10,
    rounds: int = 1,
    embedder: Embedder | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Return what each rule made of the use; see the module's docstring.

    Args:
        path: The set.
        k: Results that count.
        rounds: How often all of it is used.
        embedder: Another one than the default.
        on_progress: Told how many of the rules are done.

    Raises:
        BadInput: The file is no such set.
    """
    found = read_pairs(path)
    encoding = EncodingSettings() if embedder is None else EncodingSettings(embedder=embedder.name)
    rules: dict[str, Any] = {}
    for done, (name, hebbian) in enumerate((("helamem", HebbianSettings()), ("ungated", UNGATED))):
        with tempfile.TemporaryDirectory(prefix="helamem-eval-") as folder:
            settings = Settings(encoding=encoding, hebbian=hebbian)
            async with await evaluation_home(Path(folder) / "home", settings, embedder) as memory:
                await memory.append(found.messages())
                await memory.process()
                before = await _ask(memory, found, k)
                for _ in range(rounds):
                    await _use(memory, found, k)
                    await memory.process()
                rules[name] = _figures(before, await _ask(memory, found, k), k)
                if name == "ungated":
                    rules["paper"] = await _by_the_paper(memory, found, k, rounds)
        on_progress(done + 1, 2)
    return {"k": k, "rounds": rounds, "pairs": len(found.pairs), "others": len(found.others), "rules": rules}


async def _use(memory: AsyncMemory, found: PairSet, k: int) -> None:
    now_ms = found.asked_ms
    for number, pair in enumerate(found.pairs):
        recalled = await memory.recall(SPACE, pair.together, k=k, as_of=now_ms)
        wanted = {_id("first", number), _id("second", number)}
        if len(used := [hit.result.id for hit in recalled.hits if hit.result.id in wanted]) > 1:
            await memory.reinforce(recalled.recall_id, used, space=SPACE)
    for other in found.others:
        await memory.recall(SPACE, other.question, k=k, as_of=now_ms)


async def _ask(memory: AsyncMemory, found: PairSet, k: int) -> Ranks:
    now_ms = found.asked_ms

    async def among_the_first(question: str) -> list[str]:
        hits = (await memory.recall(SPACE, question, k=k, as_of=now_ms, record=False)).hits
        return [hit.result.id for hit in hits if hit.turn is not None][:k]

    return _ranks(
        [await among_the_first(pair.question) for pair in found.pairs],
        [await among_the_first(other.question) for other in found.others],
    )


async def _by_the_paper(memory: AsyncMemory, found: PairSet, k: int, rounds: int) -> dict[str, Any]:
    """Return what the paper's memory makes of the same turns and the same use."""
    store, embedder = memory.instance.store, memory.instance.embedder
    turns = sorted([turn async for turn in store.scan_turns(SPACE)], key=lambda turn: (turn.time_ms, turn.id))
    vectors = embedder.embed([spoken(turn.speaker, turn.text) for turn in turns])
    paper = PaperMemory(turns, vectors, PaperSettings(tau_days=inf))
    now_ms = found.asked_ms

    def recalled(question: str) -> list[str]:
        return paper.recall(question, np.asarray(embedder.embed([question])[0]), now_ms, k, 5)

    def ask() -> Ranks:
        # all k + m of them: what spreading brings stands behind the k there, and could otherwise never count
        return _ranks(
            [recalled(pair.question) for pair in found.pairs], [recalled(other.question) for other in found.others]
        )

    before = ask()
    for _ in range(rounds):
        for question in [*(pair.together for pair in found.pairs), *(other.question for other in found.others)]:
            paper.learn(recalled(question))
    return _figures(before, ask(), k)


def _ranks(of_pairs: Sequence[Sequence[str]], of_others: Sequence[Sequence[str]]) -> Ranks:
    return Ranks(
        first=[float(_id("first", n) in ids) for n, ids in enumerate(of_pairs)],
        second=[float(_id("second", n) in ids) for n, ids in enumerate(of_pairs)],
        others=[float(_id("only", n) in ids) for n, ids in enumerate(of_others)],
    )


def _id(kind: str, number: int) -> str:
    return memory_id(SPACE, f"{kind}-{number}")


def _figures(before: Ranks, after: Ranks, k: int) -> dict[str, Any]:
    return {
        name: {
            f"before@{k}": mean(getattr(before, name)),
            f"after@{k}": mean(getattr(after, name)),
            "gain": structs.asdict(paired_interval(getattr(after, name), getattr(before, name))),
        }
        for name in ("second", "first", "others")
    }
