"""Signing what is sealed: checkpoints, numbered over all partitions, each naming the one before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from helamem.schemas.errors import BadInput, ConfigurationError
from helamem.schemas.events import CheckpointSigned, SegmentRoot
from helamem.schemas.records import TopicPartition, generation_of
from helamem.streams.archive.layout import Span, checkpoint_name, checkpoint_numbers
from helamem.streams.archive.reader import ArchiveReader
from helamem.streams.archive.segment import Chain, Content, content_of
from helamem.streams.audit.checkpoints import FIRST, checkpoint_from, hash_of, line_of, sign

MOST_SEGMENTS = 1000
"""Most segments that one checkpoint names."""


class Signer:
    """Signs the segments of one archive. It knows from the archive what is signed already.

    Args:
        reader: The archive.
        key: Signs.
        clock: Milliseconds since 1970.
    """

    def __init__(self, reader: ArchiveReader, key: Ed25519PrivateKey, clock: Callable[[], int]) -> None:
        self._reader = reader
        self._key = key
        self._clock = clock
        self._unread = checkpoint_numbers(reader.files)
        self._number = 0
        self._previous = FIRST
        self._ends: dict[TopicPartition, int] = {}
        if self._unread:
            last = self._read_back()
            self._number, self._previous = last.number + 1, hash_of(last)

    def sign(self, partitions: Sequence[TopicPartition]) -> int:
        """Sign the sealed segments of some partitions that are not signed yet; return the number of checkpoints.

        Raises:
            ConfigurationError: A segment is no longer what was sealed.
        """
        before = self._number
        for at in partitions:
            spans = self._reader.spans(at)
            if spans:
                signed = self._signed_end(at)
                unsigned = [span for span in spans if span.begin >= signed]
                for first in range(0, len(unsigned), MOST_SEGMENTS):
                    self._sign(at, unsigned[first : first + MOST_SEGMENTS])
        return self._number - before

    def _sign(self, at: TopicPartition, spans: Sequence[Span]) -> None:
        contents = [self._checked(at, span) for span in spans]
        checkpoint = sign(
            self._key,
            archive_id=self._reader.archive_id,
            number=self._number,
            previous=self._previous,
            topic=at.topic,
            generation=generation_of(at.topic),
            partition=at.partition,
            begin=self._signed_end(at),
            end=contents[-1].end,
            chain_begin=contents[-1].chain_begin,
            chain_head=contents[-1].chain_head,
            segments=tuple(
                SegmentRoot(begin=one.begin, end=one.end, records=one.records, root=one.root) for one in contents
            ),
            signed_at=self._clock(),
        )
        self._reader.files.publish(checkpoint_name(self._number), line_of(checkpoint))
        self._number, self._previous = self._number + 1, hash_of(checkpoint)
        self._ends[at] = checkpoint.end

    def _checked(self, at: TopicPartition, span: Span) -> Content:
        """Return what a manifest says, once its records say the same: what lay unsigned could have been altered."""
        content = self._reader.manifest(at, span).content
        chain = Chain(begin=content.chain_begin, head=bytes.fromhex(content.chain_before), end=content.follows)
        records = list(self._reader.records(at, span))
        if not records or content_of(at, records, chain, content.missing) != content:
            raise ConfigurationError(
                f"the archive {self._reader.files.place} was altered between {span.begin} and {span.end} of {at} before"
                " that was signed; see what with helamem audit verify, and archive the log anew"
            )
        return content

    def _signed_end(self, at: TopicPartition) -> int:
        """Return up to where a partition is signed; checkpoints are read back only as far as that takes."""
        while at not in self._ends and self._unread:
            self._read_back()
        return self._ends.get(at, 0)

    def _read_back(self) -> CheckpointSigned:
        name = checkpoint_name(self._unread.pop())
        try:
            checkpoint = checkpoint_from(self._reader.files.read(name))
        except BadInput as error:
            raise ConfigurationError(
                f"{name} of the archive {self._reader.files.place} is damaged ({error}); restore it from a copy"
            ) from None
        self._ends.setdefault(TopicPartition(checkpoint.topic, checkpoint.partition), checkpoint.end)
        return checkpoint
