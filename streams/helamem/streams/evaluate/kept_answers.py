"""A file that keeps what a model answered in an evaluation, a JSON object a line, so that a broken run goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import orjson
from msgspec import Struct

from helamem.processors.consolidation.llm.chat import Message
from helamem.schemas.errors import BadInput

_BEGIN = b'{"key":"'
"""Of each line."""


class Kept(Struct, frozen=True, kw_only=True):
    """One answer."""

    key: str
    """SHA-256 of the model and of all that it was told."""
    model: str
    text: str | None
    """None where the service refuses the question for good."""


class KeptAnswers:
    """The answers by what was asked; a context manager.

    Args:
        path: The file; made where it is missing. A last line that a crash cut short is taken off.

    Raises:
        BadInput: It holds something else, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, Kept] = {}
        try:
            self._file = path.open("a+b")
        except OSError as error:
            raise BadInput(f"{path} cannot be written ({error.strerror}); name another file by --answers") from None
        try:
            self._load()
        except BaseException:
            self._file.close()
            raise

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str) -> Kept | None:
        """Return the answer that is known."""
        return self._known.get(key)

    def keep(self, kept: Kept) -> None:
        """Write an answer; it is there after a crash of this process."""
        self._file.write(orjson.dumps(msgspec.to_builtins(kept), option=orjson.OPT_APPEND_NEWLINE))
        self._file.flush()
        self._known[kept.key] = kept

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _load(self) -> None:
        self._file.seek(0)
        whole, _, torn = self._file.read().rpartition(b"\n")
        lines = whole.splitlines()
        for number, line in enumerate(lines, 1):
            try:
                kept = msgspec.json.decode(line, type=Kept)
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise self._something_else(number) from None
            self._known[kept.key] = kept
        if not _BEGIN.startswith(torn[: len(_BEGIN)]):
            raise self._something_else(len(lines) + 1)
        if torn:
            self._file.truncate(len(whole) + 1 if whole else 0)

    def _something_else(self, number: int) -> BadInput:
        return BadInput(f"{self.path}, line {number}, is no answer of an evaluation; name another file by --answers")


def key_of(model: str, messages: Sequence[Message]) -> str:
    """Return under what an answer is kept."""
    return hashlib.sha256(orjson.dumps([model, msgspec.to_builtins(messages)])).hexdigest()
