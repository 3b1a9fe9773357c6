"""`helamem eval longmemeval`: which sessions and turns that answer a question are among the first k.

The history of each question is a space of its own, in homes of some questions each. A question is asked at its date. A
session stands where the first of its turns stands in the ranking. Questions that nothing answers (`_abs`) are ingested
and not asked, as the benchmark has it. `mean@k` is the mean share of the evidence among the first k, `any@k` and
`all@k` are the shares of questions with any, and with all, of it (`recall_any` and `recall_all` of the benchmark).
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from msgspec import Struct

from helamem.processors.embedder.port import Embedder
from helamem.schemas.errors import BadInput
from helamem.schemas.ids import memory_id
from helamem.streams.async_memory import AsyncMemory
from helamem.streams.evaluate.homes import evaluation_home
from helamem.streams.evaluate.statistics import mean
from helamem.streams.ingest.longmemeval import History, read_histories

RANKS = (5, 10)
_QUESTIONS_OF_A_HOME = 20
_LISTED = 200
"""Turns of a ranking that are looked at: ten sessions are among them, as a rule."""


class Ranked(Struct, frozen=True, kw_only=True):
    """What came of one question: the share of its evidence among the first k, by k."""

    question_type: str
    sessions: dict[int, float]
    turns: dict[int, float]
    """Empty where the file marks no turn."""


async def evaluate_longmemeval(
    path: Path,
    *,
    embedder: Embedder | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Return the figures of a LongMemEval file; see the module's docstring.

    Args:
        path: The file, such as `longmemeval_s.json`.
        embedder: Another one than the default.
        on_progress: Told how many questions of how many are done.

    Raises:
        BadInput: The file is not in LongMemEval's format, or has no question with evidence.
    """
    histories = read_histories(path)
    answered = [one for one in histories if not one.abstains and one.sessions & {m.session for m in one.messages}]
    if not answered:
        raise BadInput(f"{path} holds no question whose answer_session_ids are in its history; nothing can be measured")
    ranked: list[Ranked] = []
    name = ""
    async with aclosing(homes_of(answered, embedder)) as homes:
        async for memory, part in homes:
            name = memory.instance.embedder.name
            for history in part:
                ranked.append(await _ask(memory, history))
                on_progress(len(ranked), len(answered))
    types = sorted({one.question_type for one in ranked})
    return {
        "embedder": name,
        "questions": len(ranked),
        "left_out": len(histories) - len(ranked),
        "overall": _figures(ranked),
        "by_type": {kind: _figures([one for one in ranked if one.question_type == kind]) for kind in types},
    }


async def homes_of(
    histories: Sequence[History], embedder: Embedder | None
) -> AsyncGenerator[tuple[AsyncMemory, Sequence[History]]]:
    """Yield homes, one after the other, each with the histories of some of the questions."""
    for start in range(0, len(histories), _QUESTIONS_OF_A_HOME):
        part = histories[start : start + _QUESTIONS_OF_A_HOME]
        with tempfile.TemporaryDirectory(prefix="helamem-eval-") as folder:
            async with await evaluation_home(Path(folder) / "home", embedder=embedder) as memory:
                for history in part:
                    await memory.instance.log.append([incoming.record for incoming in history.incoming()])
                await memory.process()
                yield memory, part


async def _ask(memory: AsyncMemory, history: History) -> Ranked:
    recalled = await memory.recall(
        history.space, history.question, k=_LISTED, m=0, facts=0, as_of=history.asked_ms, record=False
    )
    of = {memory_id(history.space, message.message_id): message for message in history.messages}
    found = [of[hit.result.id] for hit in recalled.hits]
    sessions = list(dict.fromkeys(message.session for message in found))
    turns = [message.message_id for message in found]
    marked = {message.message_id for message in history.messages if message.answers}
    there = history.sessions & {message.session for message in history.messages}
    return Ranked(
        question_type=history.question_type,
        sessions={k: len(there.intersection(sessions[:k])) / len(there) for k in RANKS},
        turns={k: len(marked.intersection(turns[:k])) / len(marked) for k in RANKS} if marked else {},
    )


def _figures(ranked: Sequence[Ranked]) -> dict[str, Any]:
    marked = [one for one in ranked if one.turns]
    return {
        "session": {"questions": len(ranked)} | _shares([one.sessions for one in ranked]),
        "turn": {"questions": len(marked)} | _shares([one.turns for one in marked]),
    }


def _shares(found: Sequence[dict[int, float]]) -> dict[str, float]:
    return {
        f"{name}@{k}": mean([figure(one[k]) for one in found])
        for k in RANKS
        for name, figure in (
            ("mean", float),
            ("any", lambda share: float(share > 0)),
            ("all", lambda share: float(share == 1)),
        )
    }
