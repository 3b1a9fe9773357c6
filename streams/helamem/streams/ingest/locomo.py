"""LoCoMo's own format (Maharana et al., ACL 2024): conversations in dated sessions, with questions.

Each sample becomes a space of its own, each session a conversation. The sessions' times carry no zone; they are taken
as UTC. The turns of a session are a second apart, in their order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from msgspec import Struct

from helamem.schemas.errors import BadInput, Poison
from helamem.schemas.times import format_ms, to_ms
from helamem.streams.ingest.incoming import BadLine, Incoming, message_event, record_of

_SESSION = re.compile(r"session_(\d+)")
_EVIDENCE = re.compile(r"D\d+:\d+")


class Question(Struct, frozen=True, kw_only=True):
    """A question of the benchmark and the turns that answer it."""

    text: str
    category: int
    """1 multi-hop, 2 temporal, 3 open-domain, 4 single-hop, 5 adversarial."""
    evidence: tuple[str, ...]
    """Message ids of turns that exist, each once."""
    answer: str = ""
    """What is wanted; empty where the file says nothing."""


class Sample(Struct, frozen=True, kw_only=True):
    """One conversation of the benchmark."""

    space: str
    messages: tuple[tuple[str, str, dict[str, str]], ...]
    """Per turn: where in the file, its time, and the data of its message."""
    questions: tuple[Question, ...]
    end_ms: int
    """Time of the last turn."""


def looks_like_locomo(path: Path) -> bool:
    """Return whether a file begins like LoCoMo's: a JSON array or object, and `speaker_a` not far in."""
    with path.open("rb") as file:
        head = file.read(1 << 20)
    if not head.lstrip().startswith((b"[", b"{")) or b'"speaker_a"' not in path.read_bytes():
        return False
    try:
        orjson.loads(head.split(b"\n", 1)[0])
    except orjson.JSONDecodeError:
        return True  # its first line is no JSON by itself, so these are no JSON lines
    return b'"session_1"' in head


def read_samples(path: Path) -> list[Sample]:
    """Return the samples of a LoCoMo file.

    Raises:
        BadInput: The file is not in that format.
    """
    try:
        content = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise BadInput(f"{path} is not a LoCoMo file: not JSON: {error}") from None
    samples = content if isinstance(content, list) else [content]
    try:
        return [_sample(sample, place) for place, sample in enumerate(samples)]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadInput(
            f"{path} is not in LoCoMo's format ({type(error).__name__}: {error}); ingest other files as JSON lines"
        ) from None


def read_locomo(path: Path, space: str | None) -> Iterator[Incoming | BadLine]:
    """Yield the messages of a LoCoMo file; see the module's docstring.

    Args:
        path: The file.
        space: Where a file with one sample goes, instead of `locomo/SAMPLE`.

    Raises:
        BadInput: Not in that format, or one space for several samples whose message ids would collide.
    """
    samples = read_samples(path)
    if space is not None and len(samples) > 1:
        raise BadInput(
            f"{path} holds {len(samples)} conversations, which need a space each; leave out --space to get locomo/NAME"
        )
    total = sum(len(sample.messages) for sample in samples)
    size = path.stat().st_size
    done = 0
    for sample in samples:
        for _, time, data in sample.messages:
            done += 1
            read_bytes = size * done // total
            try:
                event = message_event(space or sample.space, time, data)
                yield Incoming(record=record_of(event), space=event.space, read_bytes=read_bytes)
            except (Poison, BadInput) as error:
                yield BadLine(line=done, reason=str(error), read_bytes=read_bytes)


def _sample(sample: dict[str, Any], place: int) -> Sample:
    name = re.sub(r"[^\w.:@-]", "-", str(sample.get("sample_id", place)))
    conversation = sample["conversation"]
    messages: list[tuple[str, str, dict[str, str]]] = []
    end_ms = 0
    sessions = sorted(int(found[1]) for key in conversation if (found := _SESSION.fullmatch(key)))
    for session in sessions:
        begin_ms = _time_ms(conversation[f"session_{session}_date_time"])
        for number, turn in enumerate(conversation[f"session_{session}"]):
            caption = turn.get("blip_caption")
            end_ms = begin_ms + number * 1000
            data = {
                "conversation": f"session_{session}",
                "message_id": turn["dia_id"],
                "speaker": turn["speaker"],
                "text": turn["text"] + (f" [shares {caption}]" if caption else ""),
            }
            messages.append((turn["dia_id"], format_ms(end_ms), data))
    known = {where for where, *_ in messages}
    return Sample(
        space=f"locomo/{name}",
        messages=tuple(messages),
        questions=tuple(_question(qa, known) for qa in sample.get("qa", ())),
        end_ms=end_ms,
    )


def _question(qa: dict[str, Any], known: set[str]) -> Question:
    """Return a question with the evidence that exists: some entries hold several ids, or none."""
    named = _EVIDENCE.findall(" ".join(map(str, qa.get("evidence", ()))))
    return Question(
        text=str(qa["question"]),
        category=int(qa["category"]),
        evidence=tuple(dict.fromkeys(id_ for id_ in named if id_ in known)),
        answer=str(qa.get("answer", "")),
    )


def _time_ms(text: str) -> int:
    """Return a time like "1:56 pm on 8 May, 2023"."""
    return to_ms(datetime.strptime(text, "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC))
