"""A content-addressed cache of embeddings beside the log, so that a replay does not compute them again.

Behind the vector of a message stands what was read of it by patterns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from helamem.processors.embedder.port import Embedder
from helamem.processors.encoding.content import spoken
from helamem.processors.encoding.reading import Reading, Said, packed, read, unpacked
from helamem.processors.pauses import Pauses
from helamem.streams.keyed_file import KeyedFile

_KEY_BYTES = 16
_BYTES = 4
"""Of one number."""
_NAME = "the embedding cache"
_READ_AT_ONCE = 16
"""Messages that are read without a pause for other threads: that takes about as long as to write so many."""


class EmbeddingCache:
    """A `ReadingEmbedder` that remembers every vector it gave, with the errors of `KeyedFile`. It may be thrown away.

    Args:
        embedder: What computes the vectors that are not there yet.
        path: The SQLite file; made when it is missing.
        read_only: Look up only; what is missing is computed and not kept.
    """

    def __init__(self, embedder: Embedder, path: Path, *, read_only: bool = False) -> None:
        self._embedder = embedder
        self._read_only = read_only
        self.name = embedder.name
        self.quick = False  # it asks a file
        self.dimension = embedder.dimension
        self._size = embedder.dimension * _BYTES
        self._file = KeyedFile(path, _NAME, read_only=read_only)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector per text, shape (n, dimension); see `Embedder.embed`."""
        keys = [cache_key(self.name, text) for text in texts]
        known = self._file.look_up(list(dict.fromkeys(keys)))
        return self._vectors(keys, known | self._computed(keys, texts, known, {}))

    def embed_and_read(self, messages: Sequence[Said]) -> tuple[NDArray[np.float32], list[Reading]]:
        """Return one vector per message and what is read of each; see `ReadingEmbedder.embed_and_read`.

        What is read is kept behind a vector that is new, but for words that the log has sealed.
        """
        texts = [spoken(one.speaker, one.text) for one in messages]
        keys = [cache_key(self.name, text) for text in texts]
        known = self._file.look_up(list(dict.fromkeys(keys)))
        readings: list[Reading] = []
        behind: dict[bytes, bytes] = {}
        for some in Pauses(_READ_AT_ONCE).chunks(list(zip(keys, messages, strict=True)), _READ_AT_ONCE):
            for key, one in some:
                found = unpacked(one, known[key][self._size :]) if key in known else None
                reading = found or read(one)
                if key not in known and not one.sealed and not self._read_only:
                    behind.setdefault(key, packed(one, reading))
                readings.append(reading)
        return self._vectors(keys, known | self._computed(keys, texts, known, behind)), readings

    def _computed(
        self, keys: Sequence[bytes], texts: Sequence[str], known: Collection[bytes], behind: Mapping[bytes, bytes]
    ) -> dict[bytes, bytes]:
        """Return the vectors that are not known, by key, and keep them with what is to stand behind them."""
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if not missing:
            return {}
        vectors = self._embedder.embed(list(missing.values()))
        computed = {
            key: vector.astype("<f4").tobytes() + behind.get(key, b"")
            for key, vector in zip(missing, vectors, strict=True)
        }
        if not self._read_only:
            self._file.keep(computed)
        return computed

    def _vectors(self, keys: Sequence[bytes], contents: Mapping[bytes, bytes]) -> NDArray[np.float32]:
        if not keys:
            return np.zeros((0, self.dimension), dtype=np.float32)
        size = self._size
        for content in contents.values():
            if len(content) < size:
                raise self._file.damaged(f"a vector of {len(content)} bytes, not {size}")
        joined = np.frombuffer(b"".join([contents[key][:size] for key in keys]), dtype="<f4")
        return np.asarray(joined.reshape(len(keys), self.dimension), dtype=np.float32)

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def cache_key(embedder: str, text: str) -> bytes:
    """Return under which key the cache keeps the vector that an embedder gives a text."""
    return hashlib.blake2b(f"{embedder}\x00{text}".encode(), digest_size=_KEY_BYTES).digest()


def forget_vectors(path: Path, keys: Collection[bytes]) -> None:
    """Remove vectors from a cache, also from what its file keeps of deleted rows. Nobody else writes it.

    Raises:
        ConfigurationError: The file is damaged, something else or of another version, so nobody knows what is in it.
        RetryLater: It cannot be written, or somebody has been reading it for half a minute.
    """
    # What was not moved out of a write-ahead log outlives its file; to open that anew removes it.
    if not (path.exists() or path.with_name(f"{path.name}-wal").exists()):
        return
    file = KeyedFile(path, _NAME)
    try:
        file.forget(keys)
    finally:
        file.close()
