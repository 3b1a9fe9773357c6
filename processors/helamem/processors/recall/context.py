"""A recall as a block of text for a prompt: what was said in the order of time, facts apart, within a token budget."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

from msgspec import Struct

from helamem.processors.recall.hits import Hit
from helamem.processors.recall.tokens import TokenCounter, llama_tokens
from helamem.processors.store.port import FactRecord, Turn
from helamem.schemas.times import from_ms

BUDGET = 1000
"""Tokens of a block where nobody says otherwise."""
_HEADING, _DAY, _LINE = 4, 12, 1
"""About how many tokens a heading, a day, and the end of a line are; the block is counted whole in the end."""
_TRIES = 20
"""Results that are tried in what is left of the budget."""
_ADDED_DATE = re.compile(r" \[\d{4}-\d{2}-\d{2}\]")
_SAID_BY = re.compile(r"^\d{4}-\d{2}-\d{2} ")


class Context(Struct, frozen=True, kw_only=True):
    """A block that is ready for a prompt."""

    text: str
    """Empty where nothing was found, or nothing fits."""
    tokens: int
    """Of the whole block, headings included."""
    hits: tuple[Hit, ...]
    """What stands in it, in the order of the recall."""


def context_of(hits: Sequence[Hit], budget: int = BUDGET, count_tokens: TokenCounter = llama_tokens) -> Context:
    """Return the best hits that fit, as one block.

    Memories and facts are taken in turns by their rank, so that a small budget holds some of both; one that does not
    fit is passed over. What a speaker said twice in the same words stands there once, and so does what a fact merely
    quotes from a turn beside it. Each turn is one line, whatever line breaks a message holds: no message can look
    like several.

    Args:
        hits: Of one recall, best first, facts last.
        budget: Most tokens of the whole block.
        count_tokens: The tokenizer.
    """
    offered = _in_turns(_without_repeats(hits))
    chosen = _fitting(offered, budget, count_tokens)
    while (tokens := count_tokens(block := _block(chosen))) > budget:
        chosen.pop()
    for hit in [hit for hit in offered if hit not in chosen][:_TRIES]:
        text = _block([*chosen, hit])
        if text != block and (cost := count_tokens(text)) <= budget:
            chosen.append(hit)
            block, tokens = text, cost
    # A turn beside it may say all that a fact does.
    shown = _shown(chosen)
    stand = {hit.result.id for hit in chosen if hit.fact is None or _told(hit.fact, shown)}
    return Context(text=block, tokens=tokens, hits=tuple(hit for hit in hits if hit.result.id in stand))


def _fitting(hits: Sequence[Hit], budget: int, count_tokens: TokenCounter) -> list[Hit]:
    """Return the hits whose lines fit, with what stands around them, each line counted once and by itself.

    To count the block for each of a thousand hits would take seconds.
    """
    chosen: list[Hit] = []
    around: set[object] = set()
    for hit in hits:
        lines: list[str] = []
        needs: set[object] = set()
        if (turn := hit.turn) is not None:
            lines.append(_line(turn, associated=hit.result.path == "association"))
            needs = {"Said:", (turn.conversation, from_ms(turn.time_ms).date())}
        if hit.fact is not None:
            lines += _told(hit.fact, (), hit.ended_ms)
            needs.add("Known:")
        cost = sum(count_tokens(line) + _LINE for line in lines)
        cost += sum(_HEADING if isinstance(one, str) else _DAY for one in needs - around)
        if cost <= budget:
            chosen.append(hit)
            around |= needs
            budget -= cost
    return chosen


def _without_repeats(hits: Iterable[Hit]) -> list[Hit]:
    """Return the hits without later ones that say the same."""
    said: set[str] = set()
    kept = []
    for hit in hits:
        words = _one_line(hit.text).casefold()
        if words not in said:
            said.add(words)
            kept.append(hit)
    return kept


def _in_turns(hits: Sequence[Hit]) -> list[Hit]:
    """Return memories and facts merged by their rank among their own."""
    kinds = [hit for hit in hits if hit.turn is not None], [hit for hit in hits if hit.fact is not None]
    ranked = [((rank + 1) / (len(kind) + 1), hit) for kind in kinds for rank, hit in enumerate(kind)]
    return [hit for _, hit in sorted(ranked, key=lambda one: one[0])]


def _block(hits: Sequence[Hit]) -> str:
    """Return the text; a fact of which nothing is left is not in it."""
    turns = [(hit.turn, hit.result.path == "association") for hit in hits if hit.turn is not None]
    shown = _shown(hits)
    facts = sorted(
        ((hit.fact, hit.ended_ms) for hit in hits if hit.fact is not None),
        key=lambda one: (one[0].valid_from_ms, one[0].id),
    )
    parts = []
    if known := [line for fact, ended_ms in facts for line in _told(fact, shown, ended_ms)]:
        parts.append("\n".join(["Known:", *known]))
    if turns:
        parts.append("\n".join(["Said:", *_passages(turns)]))
    return "\n\n".join(parts)


def _shown(hits: Sequence[Hit]) -> list[str]:
    return [_one_line(hit.turn.text).casefold() for hit in hits if hit.turn is not None]


def _told(fact: FactRecord, shown: Sequence[str], ended_ms: int | None = None) -> list[str]:
    """Return the lines of a fact that no turn shown says already, and until when it held where it is over."""
    until = "" if ended_ms is None else f" (until {from_ms(ended_ms).date().isoformat()})"
    lines = []
    for line in map(_one_line, fact.text.splitlines()):
        # What the extractive distiller quotes begins with day and speaker, and has dates put in.
        _, _, quoted = _ADDED_DATE.sub("", line).partition(": ") if _SAID_BY.match(line) else ("", "", line)
        if not any(quoted.casefold() in said for said in shown):
            lines.append(f"- {line}{until}")
    return lines


def _passages(turns: Sequence[tuple[Turn, bool]]) -> list[str]:
    """Return turns of one conversation and day below each other, neighbours as one passage, in the order of time."""
    begins: dict[str, int] = {}
    for turn, _ in turns:
        begins[turn.conversation] = min(turn.time_ms, begins.get(turn.conversation, turn.time_ms))
    ordered = sorted(turns, key=lambda one: (begins[one[0].conversation], one[0].conversation, one[0].turn))
    lines = []
    for (_, day), passage in groupby(ordered, key=lambda one: (one[0].conversation, from_ms(one[0].time_ms).date())):
        lines.append(day.isoformat())
        before: int | None = None
        for turn, associated in passage:
            if before is not None and turn.turn > before + 1:
                lines.append("…")
            lines.append(_line(turn, associated=associated))
            before = turn.turn
    return lines


def _line(turn: Turn, *, associated: bool) -> str:
    how = " (by association)" if associated else ""
    return f"{from_ms(turn.time_ms):%H:%M} {_one_line(turn.speaker)}{how}: {_one_line(turn.text)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
