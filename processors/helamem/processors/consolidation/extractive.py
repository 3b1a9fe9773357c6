"""The default distiller: it writes nothing itself, it picks whole sentences that were said and puts them in order.

From a cluster it makes at most one statement of each kind (traits: one for each speaker). A statement is what the
cluster's strongest members told, in time order, each with its day and speaker, relative dates made absolute. Strength
decides and not likeness of words: what belongs together often shares none. It needs no model and cannot invent.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from helamem.processors.consolidation.dates import with_absolute_dates
from helamem.processors.consolidation.distiller import Cluster, Kind, Statement
from helamem.processors.store.port import Turn
from helamem.schemas.times import from_ms

MAX_PIECES = 4
"""Most turns that one statement quotes."""
_SAME = 0.6
"""Share of common words (Jaccard) from which two sentences count as the same."""
_MIN_WORDS = 4
_MOST_CHARACTERS = 2000
"""Of one turn that are quoted, before its dates are made absolute: a statement must fit into an event."""
_SENTENCE = re.compile(r"[^.!?…]+(?:[.!?…]+(?=\S)[^.!?…]+)*[.!?…]*[\"')\]]*")
_GOES_ON = re.compile(
    r"(?:^|[\s(\"'])(?:Dr|Mr|Mrs|Ms|Prof|St|Mt|vs|e\.g|i\.e|approx|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|[A-Z])\.$"
)
"""What a full stop of its own stands behind, whatever comes next."""
_MAY_GO_ON = re.compile(r"(?:^|[\s(\"'])(?:etc|Jr|Sr|Inc|Ltd|Co|Corp|Ave|Rd|(?:[A-Za-z]\.)+[A-Za-z])\.$")
"""What may end a sentence too: "5 p.m." does before a capital letter."""
_NUMBER = re.compile(r"(?:^|\s)[Nn]o\.$")
_WORDS = re.compile(r"[\w'-]+")
_TRAIT = re.compile(
    r"\b(?:i|we)(?:'m| am|'ve| have|'re| are)? (?:always|never|usually|often|really )?\s*"
    r"(?:love|like|enjoy|hate|prefer|can't stand|allergic|afraid|vegetarian|vegan|live|work|born|from|married|a |an )"
    r"|\bmy (?:favou?rite|husband|wife|partner|daughter|son|mother|father|sister|brother|dog|cat|job|hobby|dentist)",
    re.IGNORECASE,
)


class _Piece(Struct, frozen=True, kw_only=True):
    """What one turn told."""

    turn: Turn
    text: str
    words: frozenset[str]


class ExtractiveDistiller:
    """Quotes the strongest members of a cluster."""

    name = "extractive:1"
    costly = False

    async def distill(self, clusters: Sequence[Cluster]) -> list[list[Statement]]:
        """Return the statements of each cluster; see `Distiller.distill`."""
        return [_statements(cluster) for cluster in clusters]


def _statements(cluster: Cluster) -> list[Statement]:
    by_kind: dict[tuple[Kind, str], list[_Piece]] = {}
    for piece in _without_repeats(filter(None, map(_piece, cluster.turns))):
        kind = _kind(piece)
        by_kind.setdefault((kind, piece.turn.speaker if kind == "user-trait" else ""), []).append(piece)
    return [_statement(kind, pieces) for (kind, _), pieces in sorted(by_kind.items())]


def _statement(kind: Kind, pieces: Sequence[_Piece]) -> Statement:
    chosen = sorted(pieces[:MAX_PIECES], key=lambda p: (p.turn.time_ms, p.turn.id))
    speakers = Counter(p.turn.speaker for p in chosen)
    return Statement(
        kind=kind,
        text="\n".join(_quote(piece) for piece in chosen),
        subject=min(speakers, key=lambda s: (-speakers[s], s)),
        valid_from_ms=chosen[-1].turn.time_ms,
        evidence=tuple(piece.turn for piece in chosen),
    )


def _quote(piece: _Piece) -> str:
    said = from_ms(piece.turn.time_ms).date()
    return f"{said.isoformat()} {piece.turn.speaker}: {with_absolute_dates(piece.text, said)}"


def _piece(turn: Turn) -> _Piece | None:
    """Return the declarative sentences of a turn, or None where it only asks, greets or reacts."""
    told: list[str] = []
    left = _MOST_CHARACTERS
    for sentence in sentences(turn.text):
        if not _asks(sentence) and len(_WORDS.findall(sentence)) >= _MIN_WORDS and len(sentence) < left:
            told.append(sentence)
            left -= len(sentence) + 1
    if not told:
        return None
    text = " ".join(told)
    return _Piece(turn=turn, text=text, words=frozenset(w.lower() for w in _WORDS.findall(text)))


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, each whole and with its punctuation."""
    whole: list[str] = []
    for found in _SENTENCE.findall(text):
        if whole and (_is_cut(whole[-1], found) or not _WORDS.search(found)):
            whole[-1] = f"{whole[-1]}{found}".strip()
        elif found.strip():
            whole.append(found.strip())
    return whole


def _is_cut(before: str, after: str) -> bool:
    """Return whether the full stop between two pieces of text ends no sentence."""
    following = after.lstrip()[:1]
    return bool(
        _GOES_ON.search(before)
        or (_MAY_GO_ON.search(before) and not following.isupper())
        or (_NUMBER.search(before) and following.isdigit())
    )


def _asks(sentence: str) -> bool:
    """Return whether a sentence is a question; one that only quotes a question at its end is none."""
    words = sentence.strip("\"'") if sentence[0] in "\"'" else sentence
    return words.rstrip("!…)]").endswith("?")


def _without_repeats(pieces: Iterable[_Piece]) -> list[_Piece]:
    """Return the pieces in their order without those that say nearly what a newer one says."""
    kept: list[_Piece] = []
    given = list(pieces)
    for piece in sorted(given, key=lambda p: (-p.turn.time_ms, p.turn.id)):
        if all(len(piece.words & other.words) < _SAME * len(piece.words | other.words) for other in kept):
            kept.append(piece)
    ids = {piece.turn.id for piece in kept}
    return [piece for piece in given if piece.turn.id in ids]


def _kind(piece: _Piece) -> Kind:
    if piece.turn.role == "agent":
        return "agent-knowledge"
    return "user-trait" if _TRAIT.search(piece.text) else "fact"
