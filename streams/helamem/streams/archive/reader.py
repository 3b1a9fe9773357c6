"""Reading an archive: segments, blocks and checkpoints by name. All calls block."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Self

from helamem.schemas.errors import BadInput, ConfigurationError
from helamem.schemas.records import Record, TopicPartition
from helamem.streams.archive.files import Files, open_files
from helamem.streams.archive.layout import (
    DESCRIPTION,
    Span,
    all_partitions,
    archive_id_of,
    manifest_name,
    records_name,
    spans,
)
from helamem.streams.archive.segment import Manifest, read_block

_MANIFESTS = 4096
_BLOCKS = 64


class ArchiveReader:
    """An archive, as it is and as it grows. What it has read once it remembers: nothing in it is ever rewritten."""

    def __init__(self, files: Files, archive_id: str) -> None:
        self.files = files
        self.archive_id = archive_id
        self.manifest = lru_cache(_MANIFESTS)(self._manifest)
        """Returns a segment's manifest; see `_manifest`."""
        self.block = lru_cache(_BLOCKS)(self._block)
        """Returns the records of one block of a segment; see `_block`."""

    @classmethod
    def open(cls, place: str) -> Self:
        """Open the archive at a directory or URL.

        Raises:
            BadInput: There is none.
            ConfigurationError: It is damaged, or a newer version made it.
        """
        files = open_files(place)
        archive_id = archive_id_of(files)
        if archive_id is None:
            raise BadInput(f"there is no archive at {place} (no {DESCRIPTION}); check the path")
        return cls(files, archive_id)

    def partitions(self) -> list[TopicPartition]:
        """Return every partition of which there is anything, of all generations."""
        return all_partitions(self.files)

    def spans(self, at: TopicPartition) -> list[Span]:
        """Return the segments of a partition as they are now, in order."""
        return spans(self.files, at)

    def records(self, at: TopicPartition, span: Span) -> Iterator[Record]:
        """Yield the records of one segment.

        Raises:
            ConfigurationError: It is damaged.
        """
        for number in range(len(self.manifest(at, span).blocks)):
            yield from self.block(at, span, number)

    def _manifest(self, at: TopicPartition, span: Span) -> Manifest:
        """Return the manifest of a segment.

        Raises:
            ConfigurationError: It is damaged.
        """
        name = manifest_name(at, span)
        try:
            return Manifest.from_bytes(self.files.read(name))
        except BadInput as error:
            raise self._damaged(name, error) from None

    def _block(self, at: TopicPartition, span: Span, number: int) -> list[Record]:
        """Return the records of one block.

        Raises:
            ConfigurationError: It is damaged.
        """
        manifest = self.manifest(at, span)
        begin = manifest.blocks[number].position
        last = number + 1 == len(manifest.blocks)
        end = manifest.size_bytes if last else manifest.blocks[number + 1].position
        name = records_name(at, span.begin)
        try:
            return read_block(self.files.read(name, begin, end))
        except BadInput as error:
            raise self._damaged(name, error) from None

    def _damaged(self, name: str, error: BadInput) -> ConfigurationError:
        return ConfigurationError(
            f"{name} of the archive {self.files.place} cannot be read ({error}); look closer with: helamem audit verify"
        )
