"""The default distiller: it writes nothing itself, it picks whole sentences that were said and puts them in order.

A sentence that claims something which can change, such as where somebody lives, is a statement of its own with subject,
key and value (see `claims`). Of the rest of a cluster it makes at most one statement of each kind (traits: one for each
speaker): what the cluster's strongest members told, in time order, each with its day and speaker, relative dates made
absolute. Strength decides and not likeness of words: what belongs together often shares none. It needs no model and
cannot invent.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from helamem.processors.consolidation.claims.claim import Claim
from helamem.processors.consolidation.claims.reading import claims
from helamem.processors.consolidation.dates import with_absolute_dates
from helamem.processors.consolidation.distiller import Cluster, Kind, Statement
from helamem.processors.consolidation.sentences import sentences
from helamem.processors.store.port import Turn
from helamem.schemas.times import from_ms

MAX_PIECES = 4
"""Most turns that one statement quotes."""
_SAME = 0.6
"""Share of common words (Jaccard) from which two sentences count as the same."""
_MIN_WORDS = 4
_MOST_CHARACTERS = 2000
"""Of one turn that are quoted, before its dates are made absolute: a statement must fit into an event."""
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
    claimed = [(turn, _claimed(turn)) for turn in cluster.turns]
    by_kind: dict[tuple[Kind, str], list[_Piece]] = {}
    pieces = (_piece(turn, frozenset(told)) for turn, told in claimed)
    for piece in _without_repeats(filter(None, pieces)):
        kind = _kind(piece)
        by_kind.setdefault((kind, piece.turn.speaker if kind == "user-trait" else ""), []).append(piece)
    claims_made = [_claim(turn, sentence, claim) for turn, told in claimed for sentence, claim in told.items()]
    return [*claims_made, *(_statement(kind, pieces) for (kind, _), pieces in sorted(by_kind.items()))]


def _claimed(turn: Turn) -> dict[str, Claim]:
    """Return one claim of a sentence at most, since its words are told once; rather what holds than what is over."""
    found: dict[str, Claim] = {}
    for sentence, claim in claims(turn.text, turn.speaker):
        first = found.get(sentence)
        if len(sentence) < _MOST_CHARACTERS and (first is None or (first.ends and not claim.ends)):
            found[sentence] = claim
    return found


def _claim(turn: Turn, sentence: str, claim: Claim) -> Statement:
    words = frozenset(_WORDS.findall(sentence.lower()))
    return Statement(
        kind="agent-knowledge" if turn.role == "agent" else "user-trait",
        text=_quote(_Piece(turn=turn, text=sentence, words=words)),
        subject=claim.subject,
        valid_from_ms=turn.time_ms,
        evidence=(turn,),
        key=claim.key,
        value=claim.value,
    )


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


def _piece(turn: Turn, told_apart: frozenset[str]) -> _Piece | None:
    """Return the declarative sentences of a turn, or None where it only asks, greets or reacts.

    Args:
        turn: What was said.
        told_apart: Sentences that are statements of their own.
    """
    quoted: list[str] = []
    left = _MOST_CHARACTERS
    for sentence in sentences(turn.text):
        if (
            sentence not in told_apart
            and not _asks(sentence)
            and len(_WORDS.findall(sentence)) >= _MIN_WORDS
            and len(sentence) < left
        ):
            quoted.append(sentence)
            left -= len(sentence) + 1
    if not quoted:
        return None
    text = " ".join(quoted)
    return _Piece(turn=turn, text=text, words=frozenset(w.lower() for w in _WORDS.findall(text)))


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
