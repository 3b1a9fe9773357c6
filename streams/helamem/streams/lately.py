"""`Lately`: one answer for all who ask within a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Lately(Generic[T]):
    """Looks something up once for everybody who asks at about the same time.

    Args:
        look: Looks it up.
        fresh_s: How long an answer is given to others, too.
    """

    def __init__(self, look: Callable[[], Coroutine[Any, Any, T]], fresh_s: float) -> None:
        self._look = look
        self._fresh_s = fresh_s
        self._looking: asyncio.Task[T] | None = None
        self._begun_s = 0.0

    async def get(self) -> T:
        """Return the answer; who gives up waiting for it takes it from nobody else."""
        now_s = time.monotonic()
        if self._looking is None or (self._looking.done() and now_s - self._begun_s >= self._fresh_s):
            self._begun_s = now_s
            self._looking = asyncio.create_task(self._look())
            self._looking.add_done_callback(_asked)
        return await asyncio.shield(self._looking)


def _asked(done: asyncio.Task[Any]) -> None:
    """Take note of what failed, where everybody has given up waiting."""
    if not done.cancelled():
        done.exception()
