"""Lists of scores as a store gives them, made independent of how its files came about."""

from __future__ import annotations

from helamem.processors.store.port import Scores

_TIED = 1e-6
"""Relative difference up to which scores are equal: the engine adds in an order that depends on its files."""


def without_last_ties(found: Scores, limit: int) -> Scores:
    """Return both lists without those that tie for the last place of a full one.

    Whom of several with the same score the engine puts there depends on how its files came about, and two stores of
    the same content would answer differently. A list that is mostly one tie stays as it is: nothing else is there.
    """
    dense, lexical = (_without_last_tie(scores, limit) for scores in (found.dense, found.lexical))
    return Scores(dense=dense, lexical=lexical)


def _without_last_tie(scores: dict[str, float], limit: int) -> dict[str, float]:
    if len(scores) < limit:
        return scores
    last = min(scores.values())
    least = last + _TIED * abs(last)
    above = {id_: score for id_, score in scores.items() if score > least}
    return above if 2 * len(above) >= limit else scores


def joined(first: Scores, second: Scores) -> Scores:
    """Return the scores of both, those of the first where both have one."""
    return Scores(dense=second.dense | first.dense, lexical=second.lexical | first.lexical)
