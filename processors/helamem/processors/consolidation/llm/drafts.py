"""What a model answers: its form, and how it is read."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from helamem.processors.consolidation.distiller import Kind

MOST_STATEMENTS = 32
_FENCE = "```"
"""What models put around JSON where they were not held to a schema."""
_WRONG = re.compile(
    r"Expected `[a-z| ]+`(?:, got `[a-z]+`| of length [<>]= \d+| [<>]= \d+)?"
    r"|Object missing required field|Object contains unknown field|Invalid enum value"
)
_WHERE = re.compile(r" - at `\$(?:\.(?:statements|kind|subject|text|confidence|evidence)|\[\d+\])*`$")


class Draft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A statement as a model wrote it."""

    kind: Kind
    subject: Annotated[str, Meta(min_length=1, max_length=256)]
    text: Annotated[str, Meta(min_length=1, max_length=2000)]
    confidence: Annotated[int, Meta(ge=0, le=100)]
    evidence: Annotated[tuple[str, ...], Meta(min_length=1, max_length=8)]
    """Short ids of messages."""


class Drafts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole answer."""

    statements: Annotated[tuple[Draft, ...], Meta(max_length=MOST_STATEMENTS)]


class Unreadable(Exception):  # noqa: N818 - it becomes a request for repair, or a dead letter
    """An answer is not of the form that was asked for; says why, and quotes nothing of it."""


def read(answer: str) -> tuple[Draft, ...]:
    """Return the statements of an answer, with whitespace in them made plain.

    Raises:
        Unreadable: It is not JSON, or of another form.
    """
    try:
        drafts = msgspec.json.decode(_unfenced(answer).encode(), type=Drafts)
    except msgspec.ValidationError as error:
        raise Unreadable(_without_content(str(error))) from None
    except (msgspec.DecodeError, RecursionError):
        raise Unreadable("it is not JSON") from None
    plain = [msgspec.structs.replace(d, subject=_plain(d.subject), text=_plain(d.text)) for d in drafts.statements]
    if not all(draft.subject and draft.text for draft in plain):
        raise Unreadable("a statement has no words")
    return tuple(plain)


def _unfenced(answer: str) -> str:
    """Return an answer without a fence of three back-quotes around it."""
    bare = answer.strip()
    if len(bare) < 2 * len(_FENCE) or not (bare.startswith(_FENCE) and bare.endswith(_FENCE)):
        return answer
    return bare.partition("\n")[2].removesuffix(_FENCE)


def _plain(text: str) -> str:
    """Return a text in one line: nothing in a fact may look like a line of its own where it is put into a prompt."""
    return " ".join(text.split())


def _without_content(complaint: str) -> str:
    """Return of a complaint of msgspec what is wrong and where: whatever else it says may be of the answer."""
    what = _WRONG.match(complaint)
    where = _WHERE.search(complaint)
    return (what[0] if what else "it is of another form") + (where[0] if where else "")


def schema() -> dict[str, Any]:
    """Return the form as a JSON Schema of the kind that `response_format` takes.

    Services take no limits in it (`maxLength` and so on); those are looked at when an answer is read.
    """
    statement = {
        "type": "object",
        "properties": {
            "kind": {"type": "string", "enum": ["user-trait", "fact", "agent-knowledge"]},
            "subject": {"type": "string"},
            "text": {"type": "string"},
            "confidence": {"type": "integer"},
            "evidence": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["kind", "subject", "text", "confidence", "evidence"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"statements": {"type": "array", "items": statement}},
        "required": ["statements"],
        "additionalProperties": False,
    }
