"""What is read of a message by patterns, which takes as long as all else that a replay does with it.

So it may be kept beside the vector of its words, for the rules that read it and for nobody else's words.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from helamem.processors.consolidation import sentences
from helamem.processors.consolidation.claims import (
    claim,
    owned,
    predicates,
    reading,
    rules,
    telling,
    vocabulary,
    words,
)
from helamem.processors.embedder.port import Embedder
from helamem.processors.encoding import keywords

READ_BY = (claim, keywords, owned, predicates, reading, rules, sentences, telling, vocabulary, words)
"""The modules that say what is read, and no others have a part in it."""
_CHECK_BYTES = 8


class Said(NamedTuple):
    """What a message says."""

    speaker: str
    text: str
    sealed: bool
    """Whether the log has it sealed, so that no words of it are to be kept for the sake of speed."""


class Reading(Struct, frozen=True, array_like=True, gc=False):
    """What is read of a message."""

    keywords: tuple[str, ...]
    claims: tuple[claim.Claim, ...]


@runtime_checkable
class ReadingEmbedder(Embedder, Protocol):
    """An embedder that keeps what was read beside the vectors. It blocks like any other."""

    def embed_and_read(self, messages: Sequence[Said]) -> tuple[NDArray[np.float32], list[Reading]]:
        """Return one vector per message, shape (n, dimension), and what is read of each; see `Embedder.embed`."""
        ...


def read(said: Said) -> Reading:
    """Return what is read of a message."""
    claimed = tuple(one for _, one in reading.claims(said.text, said.speaker))
    return Reading(keywords.keywords(said.text), claimed)


def packed(said: Said, found: Reading) -> bytes:
    """Return what was read of a message as bytes that `unpacked` takes for nothing else."""
    body = _encode(found)
    return _check(said, body) + body


def unpacked(said: Said, content: bytes) -> Reading | None:
    """Return what `packed` was given, or None where that was by other rules, of other words, or is damaged."""
    body = content[_CHECK_BYTES:]
    return _decode(body) if content[:_CHECK_BYTES] == _check(said, body) else None


def rules_of(sources: Sequence[bytes]) -> bytes:
    """Return what stands for rules of reading: other sources are other rules, and so is another idea of letters."""
    total = hashlib.blake2b(unicodedata.unidata_version.encode(), digest_size=32)
    for source in sources:
        total.update(hashlib.sha256(source).digest())
    return total.digest()


def _source(path: str | None) -> bytes:
    assert path is not None  # these are files of ours
    return Path(path).read_bytes()


_RULES = rules_of([_source(module.__file__) for module in READ_BY] + [_source(__file__)])
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Reading).decode


def _check(said: Said, body: bytes) -> bytes:
    # The words are those that were embedded; how long the name in front of them is says where they begin.
    whose = f"{len(said.speaker)} {said.speaker}: {said.text}\x00".encode()
    return hashlib.blake2b(whose + body, digest_size=_CHECK_BYTES, key=_RULES).digest()
