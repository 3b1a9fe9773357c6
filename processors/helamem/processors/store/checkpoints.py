"""The checkpoints of an embedded store: one small file for each processor and partition, replaced as a whole.

Every recall says how far the projection has come, so they are read once and kept; nobody else has the directory open.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import msgspec

from helamem.processors.store.edge_shards import sync_directory, write_durably
from helamem.processors.store.port import Checkpoint
from helamem.schemas.errors import ConfigurationError
from helamem.schemas.records import TopicPartition

_SUFFIX = ".checkpoint"
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Checkpoint).decode


class CheckpointFiles:
    """Checkpoints in a directory, as it was when this was made and as it is changed through this.

    Args:
        directory: Made if it is missing.

    Raises:
        ConfigurationError: A file is damaged.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        if not directory.is_dir():
            directory.mkdir()
            sync_directory(directory.parent)
        found = map(_read, directory.glob(f"*{_SUFFIX}"))
        self._kept = {(checkpoint.group, checkpoint.partition): checkpoint for checkpoint in found}

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace an older checkpoint; it is durable on return."""
        group, partition = of = (checkpoint.group, checkpoint.partition)
        older = self._kept.get(of)
        if older is not None and checkpoint.position <= older.position:
            return
        name = f"{quote(group, safe='')}@{quote(str(partition), safe='')}{_SUFFIX}"
        write_durably(self._directory / name, _encode(checkpoint))
        # In a new dictionary: another thread may be going through the old one.
        self._kept = {**self._kept, of: checkpoint}

    def load(self, group: str) -> dict[TopicPartition, Checkpoint]:
        """Return the checkpoints of a processor."""
        return {partition: checkpoint for (of, partition), checkpoint in self._kept.items() if of == group}


def _read(file: Path) -> Checkpoint:
    try:
        return _decode(file.read_bytes())
    except msgspec.MsgspecError as error:
        raise ConfigurationError(
            f"the store at {file.parents[1]} is damaged ({file.name}); delete it: it is filled again from the log"
        ) from error
