"""The audit of one partition.

What a checkpoint signed is compared with each copy, segment by segment. Where one copy is as it was signed and
another is not, the first record in which they differ is named; where no copy is, the interval is.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from helamem.schemas.records import Record, TopicPartition
from helamem.streams.archive.encoding import encode_record
from helamem.streams.archive.layout import Span
from helamem.streams.archive.segment import Chain
from helamem.streams.audit.copies import ArchiveCopy, Held, LogCopy
from helamem.streams.audit.findings import Copy, Difference, Finding, first_difference, named
from helamem.streams.audit.hashes import genesis, leaf_hash, link_hash, merkle_root
from helamem.streams.audit.ledger import Ledger

_FOLLOWING = 4096
"""Offsets after a segment that are looked at to tell a removed record from a changed one."""


class _Signed(Struct, frozen=True, kw_only=True):
    """An interval that a checkpoint vouches for: a segment, and the gap before it."""

    begin: int
    end: int
    records: int
    root: bytes
    number: int
    """Of the checkpoint."""
    head: bytes | None
    """Of the chain, after the last segment of a checkpoint."""


class PartitionAudit:
    """The audit of one partition; what it found is in its attributes once `verify` returns.

    Attributes:
        findings: The first one of each copy.
        records: How many were looked at, over all copies.
        uncovered: How many come after the last checkpoint, or before the first one that is left.
    """

    def __init__(
        self, at: TopicPartition, archive_id: str, ledger: Ledger, archived: ArchiveCopy | None, logged: LogCopy | None
    ) -> None:
        self._at = at
        self._archive_id = archive_id
        self._checkpoints = ledger.of(at)
        self._archived = archived
        self._logged = logged
        self._faulty: set[Copy] = set()
        self._manifests: Chain | None = None
        self._chain: bytes | None = None
        self._chain_end = 0
        self.findings: list[Finding] = []
        self.records = 0
        self.uncovered = 0

    async def verify(self) -> None:
        """Compare the copies with what was signed, and then with each other what was not."""
        signed = self._signed()
        if signed and self._archived is None and self._logged is not None:
            self.uncovered += max(0, signed[0].begin - self._logged.begin)
        for window in signed:
            await self._verify_signed(window)
            if len(self._faulty) == (self._archived is not None) + (self._logged is not None):
                return
        if self._faulty:
            return  # the first record is named; whatever comes after may follow from it
        await self._verify_rest(signed[-1].end if signed else 0)

    def _signed(self) -> list[_Signed]:
        found = []
        for checkpoint in self._checkpoints:
            end = checkpoint.begin  # those before it may be gone with the log's retention
            for segment in checkpoint.segments:
                last = segment is checkpoint.segments[-1]
                found.append(
                    _Signed(
                        begin=end,
                        end=segment.end,
                        records=segment.records,
                        root=bytes.fromhex(segment.root),
                        number=checkpoint.number,
                        head=bytes.fromhex(checkpoint.chain_head) if last else None,
                    )
                )
                end = segment.end
        return found

    async def _verify_signed(self, window: _Signed) -> None:
        archived, logged = await self._held(window.begin, window.end)
        good_archive = archived is not None and self._is_signed(archived.records, window)
        whole = self._logged is not None and self._logged.begin <= window.begin
        good_log = logged is not None and whole and self._is_signed(logged.records, window)
        bad_log = logged is not None and not good_log and self._differs(logged, archived, window, good=good_archive)
        if archived is not None and not good_archive and "archive" not in self._faulty:
            await self._name("archive", archived, logged if good_log else None, window)
        if logged is not None and bad_log and "log" not in self._faulty:
            await self._name("log", logged, archived if good_archive else None, window)
        if archived is not None and good_archive:
            for complaint in await self._manifest_complaints(window.begin, window.end):
                self._note_manifest(f"{complaint}; the records themselves are as they should be", window)
        good = archived if good_archive else logged if good_log else None
        self._verify_chain(window, good)

    def _differs(self, logged: Held, archived: Held | None, window: _Signed, *, good: bool) -> bool:
        """Return whether the log is at fault in an interval in which it does not hold all that was signed."""
        assert self._logged is not None
        if self._logged.begin >= window.end:
            return False  # dropped by retention
        if self._logged.begin > window.begin:  # dropped in part: only a good copy tells what the rest should be
            return archived is not None and good and self._still_held(archived) != logged.records
        return True

    def _still_held(self, archived: Held) -> tuple[Record, ...]:
        """Return the archived records that the log's retention has left there."""
        assert self._logged is not None
        return tuple(record for record in archived.records if record.offset >= self._logged.begin)

    def _is_signed(self, records: Sequence[Record], window: _Signed) -> bool:
        return len(records) == window.records and merkle_root(_leaves(records)) == window.root

    def _verify_chain(self, window: _Signed, good: Held | None) -> None:
        """Go on with the chain over what is as signed, and compare it with the checkpoint's head."""
        goes_on = self._chain is not None and window.begin == self._chain_end
        if good is None or not (goes_on or window.begin == 0):
            self._chain = None
            return
        if not goes_on:
            self._chain = genesis(self._archive_id, self._at, good.records[0].offset)
        assert self._chain is not None
        for leaf in _leaves(good.records):
            self._chain = link_hash(self._chain, leaf)
        self._chain_end = window.end
        if window.head is not None and window.head != self._chain:
            words = f"checkpoint {window.number} signs another chain for {self._at} than its own segments give"
            self.findings.append(Finding(kind="checkpoint", where="checkpoints", partition=str(self._at), words=words))
            self._chain = None

    async def _manifest_complaints(self, begin: int, end: int) -> list[str]:
        if self._archived is None or "archive" in self._faulty:
            return []
        complaints, self._manifests = await self._archived.manifest_complaints(begin, end, self._manifests)
        return complaints

    def _note_manifest(self, words: str, window: _Signed | Span) -> None:
        self._faulty.add("archive")
        self.findings.append(
            Finding(
                kind="manifest",
                where="archive",
                partition=str(self._at),
                begin=window.begin,
                end=window.end,
                words=words,
            )
        )

    async def _verify_rest(self, begin: int) -> None:
        """Compare what no checkpoint covers: nobody has vouched for either copy."""
        spans = [] if self._archived is None else [span for span in self._archived.spans if span.begin >= begin]
        archive_end = begin
        for span in spans:
            archive_end = max(archive_end, span.end)
            await self._verify_unsigned(span)
            if self._faulty:
                return
        if self._logged is not None and self._logged.end > archive_end:
            rest = max(archive_end, self._logged.begin)
            self.uncovered += self._logged.end - rest
            self.records += self._logged.end - rest

    async def _verify_unsigned(self, span: Span) -> None:
        archived, logged = await self._held(span.begin, span.end)
        assert archived is not None  # it has this segment
        self.uncovered += len(archived.records)
        complaints = await self._manifest_complaints(span.begin, span.end)
        difference = None
        if logged is not None:
            kept = Held(records=self._still_held(archived), complaint=archived.complaint)
            if complaints:
                difference = self._difference(logged, kept, where="archive")
            else:
                difference = self._difference(kept, logged, where="log")
        if difference is None:
            for complaint in complaints:
                self._note_manifest(complaint, span)
            return
        where: Copy = "archive" if complaints else "log" if difference.kind == "truncated" else "archive or log"
        unsure = where == "archive or log"
        more = "; no checkpoint covers it, so nobody can tell which of the two is right" if unsure else ""
        self._faulty.add(where)
        self.findings.append(named(difference, where, self._at, more=more))

    async def _held(self, begin: int, end: int) -> tuple[Held | None, Held | None]:
        archived = None if self._archived is None else await self._archived.held(begin, end)
        logged = None if self._logged is None else await self._logged.held(begin, end)
        self.records += sum(len(one.records) for one in (archived, logged) if one is not None)
        return archived, logged

    async def _name(self, where: Copy, bad: Held, good: Held | None, window: _Signed) -> None:
        """Name the first record at fault, or the interval where no copy is as it was signed."""
        self._faulty.add(where)
        if good is not None:
            good, bad = await self._with_what_follows(where, good, bad, window)
            if where == "log":
                good = Held(records=self._still_held(good))
            difference = self._difference(good, bad, where=where)
            assert difference is not None  # one is as it was signed, the other is not
            more = f" ({bad.complaint})" if bad.complaint else ""
            self.findings.append(named(difference, where, self._at, more=more))
            return
        begin, end = window.begin, window.end
        if where == "log" and self._logged is not None and self._logged.end < end:
            place = max(self._logged.end, begin)
            words = (
                f"{self._at} was truncated: the log ends at {self._logged.end}, and checkpoint {window.number} says"
                f" that there were records up to {end - 1}"
            )
            self.findings.append(
                Finding(kind="truncated", where=where, partition=str(self._at), offset=place, words=words)
            )
            return
        more = f" ({bad.complaint})" if bad.complaint else ""
        words = (
            f"{self._at} was altered in the {where} between {begin} and {end - 1}, of which checkpoint {window.number}"
            f" says something else{more}; no good copy is at hand that would tell which record"
        )
        self.findings.append(
            Finding(kind="altered", where=where, partition=str(self._at), begin=begin, end=end, words=words)
        )

    async def _with_what_follows(self, where: Copy, good: Held, bad: Held, window: _Signed) -> tuple[Held, Held]:
        """Return both with some records that come after: a removed record draws the next ones forward."""
        if bad.complaint:
            return good, bad
        archived, logged = await self._held(window.end, window.end + _FOLLOWING)
        assert archived is not None
        assert logged is not None
        after_good, after_bad = (logged, archived) if where == "archive" else (archived, logged)
        return (
            Held(records=good.records + after_good.records),
            Held(records=bad.records + after_bad.records, complaint=after_bad.complaint),
        )

    def _difference(self, good: Held, bad: Held, *, where: Copy) -> Difference | None:
        difference = first_difference(good.records, bad.records)
        if difference is None or difference.kind != "removed":
            return difference
        if bad.complaint:
            return Difference(kind="changed", offset=difference.offset)
        last = self._logged.end if where == "log" and self._logged is not None else self._archive_end()
        if last <= difference.offset:
            return Difference(kind="truncated", offset=difference.offset)
        return difference

    def _archive_end(self) -> int:
        return max((span.end for span in self._archived.spans), default=0) if self._archived is not None else 0


def _leaves(records: Sequence[Record]) -> list[bytes]:
    return [leaf_hash(encode_record(record)) for record in records]
