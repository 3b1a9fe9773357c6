"""The signed checkpoints of an archive, brought together from wherever copies of them lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

from helamem.schemas.errors import BadInput
from helamem.schemas.events import CheckpointSigned
from helamem.schemas.records import TopicPartition
from helamem.streams.audit.checkpoints import FIRST, checkpoint_from, fault_of, hash_of
from helamem.streams.audit.findings import Finding

_NAMED = 3


class Source(Struct, frozen=True, kw_only=True):
    """Where copies of checkpoints lie."""

    name: str
    lines: Sequence[tuple[str, bytes | None]]
    """Place and line of each, in order; None stands for one that cannot be read."""
    own: bool = False
    """Whether it holds those of this archive alone, and all of them; others may be older, and hold others' too."""
    begins_late: bool = False
    """Whether its first ones may be gone: the log has a retention."""


class Ledger(Struct, frozen=True, kw_only=True):
    """What checkpoints say together."""

    checkpoints: tuple[CheckpointSigned, ...]
    """Those whose signature holds, by number."""
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    def of(self, at: TopicPartition) -> list[CheckpointSigned]:
        """Return those of one partition, in order."""
        return [one for one in self.checkpoints if (one.topic, one.partition) == at]

    def partitions(self) -> set[TopicPartition]:
        """Return the partitions that they are of."""
        return {TopicPartition(one.topic, one.partition) for one in self.checkpoints}


def bring_together(
    sources: Sequence[Source], keys: Mapping[str, Ed25519PublicKey], archive_id: str | None
) -> dict[str, Ledger]:
    """Return the ledger of each archive, or of one alone, by archive id.

    Args:
        sources: Where copies lie.
        keys: Public keys, by their hexadecimal form.
        archive_id: The archive that is asked about; None takes all that there are checkpoints of.
    """
    findings: list[Finding] = []
    found: dict[str, dict[int, CheckpointSigned]] = {}
    held: dict[tuple[str, str], set[int]] = {}
    for source in sources:
        for place, line in source.lines:
            checkpoint = _read(line)
            foreign = checkpoint is not None and archive_id is not None and checkpoint.archive_id != archive_id
            if foreign and not source.own:
                continue  # of another archive of the same log
            if checkpoint is None:
                findings.append(_finding(f"{place} is no checkpoint: it was damaged or put there"))
                continue
            if foreign:
                findings.append(_finding(f"{place} is of another archive ({checkpoint.archive_id})"))
                continue
            if fault := fault_of(checkpoint, keys):
                findings.append(_finding(f"checkpoint {checkpoint.number} ({place}) {fault}"))
                continue
            by_number = found.setdefault(checkpoint.archive_id, {})
            if by_number.setdefault(checkpoint.number, checkpoint) != checkpoint:
                words = f"{place} differs from another checkpoint {checkpoint.number}, and both are signed"
                findings.append(_finding(words))
            held.setdefault((source.name, checkpoint.archive_id), set()).add(checkpoint.number)
    ledgers = {}
    for id_ in (found or [""]) if archive_id is None else [archive_id]:
        by_number = found.get(id_, {})
        notes: list[str] = []
        own = [*findings, *_breaks(by_number)]
        for source in sources:
            _compare(source, by_number.keys(), held.get((source.name, id_), set()), own, notes)
        ordered = tuple(by_number[number] for number in sorted(by_number))
        ledgers[id_] = Ledger(checkpoints=ordered, findings=tuple(own), notes=tuple(notes))
        findings = []
    return ledgers


def _read(line: bytes | None) -> CheckpointSigned | None:
    try:
        return checkpoint_from(b"" if line is None else line)
    except BadInput:
        return None


def _breaks(by_number: Mapping[int, CheckpointSigned]) -> list[Finding]:
    """Return where a checkpoint does not name the one before it, or does not go on where that ended."""
    findings = []
    ends: dict[tuple[str, int], int] = {}
    for number in sorted(by_number):
        one = by_number[number]
        before = by_number.get(number - 1)
        if number == 0 and one.previous != FIRST:
            findings.append(_finding("checkpoint 0 names one before it"))
        if before is not None and one.previous != hash_of(before):
            findings.append(_finding(f"checkpoint {number} names another checkpoint before it than {number - 1}"))
        at = one.topic, one.partition
        if at in ends and ends[at] != one.begin and before is not None:
            findings.append(_finding(f"checkpoint {number} does not begin where the last one of its partition ended"))
        ends[at] = one.end
    return findings


def _compare(
    source: Source, numbers: AbstractSet[int], held: AbstractSet[int], findings: list[Finding], notes: list[str]
) -> None:
    """Note which checkpoints a source lacks."""
    first = min(held, default=0) if source.begins_late else 0
    wanted = range(first, max(numbers, default=-1) + 1)
    missing = [number for number in wanted if number not in held]
    last = max(held, default=-1)
    removed = missing if source.own else [number for number in missing if number < last]
    if removed:
        findings.append(_finding(f"{_listed(removed)} gone from {source.name}"))
    if later := [number for number in missing if number not in removed]:
        notes.append(f"{source.name} does not have {_listed(later)}")


def _listed(numbers: Sequence[int]) -> str:
    named = ", ".join(map(str, numbers[:_NAMED]))
    more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
    return f"checkpoint{'s' if len(numbers) > 1 else ''} {named}{more}"


def _finding(words: str) -> Finding:
    return Finding(kind="checkpoint", where="checkpoints", words=words)
