"""How long to wait before the same is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgspec import Struct

from helamem.schemas.errors import RetryLater

T = TypeVar("T")


class Backoff(Struct, frozen=True, kw_only=True):
    """Doubling waits with an upper bound; there is no bound on the number of tries, since nothing may be skipped."""

    first_s: float = 0.05
    longest_s: float = 5.0

    def wait_s(self, failures: int) -> float:
        """Return how long to wait after so many failures in a row (1 or more)."""
        return min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 30))


async def until_done(
    what: Callable[[], Awaitable[T]],
    *,
    backoff: Backoff,
    stopping: asyncio.Event,
    on_retry: Callable[[RetryLater], None],
) -> T:
    """Return what `what` returns, trying again for as long as it raises `RetryLater`.

    Raises:
        Stopped: A stop was asked for while it was waiting.
    """
    failures = 0
    while True:
        try:
            return await what()
        except RetryLater as error:
            failures += 1
            on_retry(error)
            if stopping.is_set():
                raise Stopped from error
            try:
                await asyncio.wait_for(stopping.wait(), backoff.wait_s(failures))
            except TimeoutError:
                continue
            raise Stopped from error


class Stopped(Exception):  # noqa: N818 - it is no error: the caller asked for it
    """A stop was asked for before the work was done; nothing was committed."""
