"""`Behind`: what a gateway answers for, be it a home of this machine or a fleet."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from typing import Protocol

from helamem.processors.store.port import MemoryStore
from helamem.streams.async_memory import Memory
from helamem.streams.erasure.steps import Erasure


class Behind(Protocol):
    """Gives requests the memory, and does what is done in another way in a home than in a fleet."""

    @property
    def usage(self) -> Path | None:
        """Directory where it is kept what tenants have appended today; None keeps it as long as the process lives."""
        ...

    @property
    def processed(self) -> bool:
        """Whether somebody processes what is appended."""
        ...

    def use(self) -> AbstractContextManager[Memory]:
        """Give the memory for as long as a request needs it.

        Raises:
            RetryLater: It cannot be had now.
        """
        ...

    async def erase(self, space: str, subject: str, *, dry_run: bool) -> Erasure:
        """Erase what a data subject said in a space, or only say what would be erased.

        Raises:
            BadInput: Nothing in the space is theirs, or another erasure was interrupted (`UnfinishedError`).
            RetryLater: Something is away; the same erasure goes on from there.
        """
        ...

    def states(
        self, memory: Memory, space: str, moments_ms: Sequence[int | None]
    ) -> AbstractAsyncContextManager[list[MemoryStore]]:
        """Open stores that hold a space as it was at some moments; None is now. Two moments may be one store.

        Raises:
            BadInput: The log held nothing at a moment.
            Problem: This gateway cannot.
            RetryLater: Another process is just putting one together.
        """
        ...
