"""What the tenants of a home have appended today, and how much more they may."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import accumulate, takewhile
from pathlib import Path

import msgspec
from msgspec import Struct

from helamem.streams.gateway.keys import Keys, command
from helamem.streams.gateway.problems import Problem
from helamem.streams.home import wall_clock_ms
from helamem.streams.sealing.files import write_secret

FILE = "usage.json"
"""The file in a home; without it, counting begins anew."""
SAVE_S = 1.0
"""How often the counts are written: a gateway that is killed forgets so much of them."""
_DAY_MS = 86_400_000
_log = logging.getLogger(__name__)


class Used(Struct, frozen=True, kw_only=True):
    """What a tenant has appended in a day."""

    messages: int = 0
    size_bytes: int = 0
    """Of their texts, in UTF-8."""


class _File(Struct, frozen=True, kw_only=True):
    day: int = 0
    """Days since 1970, UTC."""
    tenants: dict[str, Used] = {}


class Quotas:
    """Counts what is appended with keys, by tenant and day (UTC), and refuses what is too much.

    Where several gateways count, each for itself, each takes its part of a quota, rounded up.

    The counts are a small file of their own: reading a whole day of the log again would keep a gateway from starting.

    Args:
        home: The home's directory; None writes no file, and counts anew with each process.
        keys: Know the limits.
        clock: Milliseconds since 1970.
    """

    def __init__(self, home: Path | None, keys: Keys, clock: Callable[[], int] = wall_clock_ms) -> None:
        self._path = None if home is None else home / FILE
        self._keys = keys
        self._clock = clock
        self._counted = _File() if home is None else read_usage(home)
        self._saved = self._counted

    @contextmanager
    def taking(self, tenant: str, sizes: Sequence[int]) -> Iterator[None]:
        """Count messages that are appended meanwhile; where something is raised, none were.

        Args:
            tenant: Whose.
            sizes: Of their texts, in bytes of UTF-8.

        Raises:
            Problem: It is more than the tenant may append today (429), or in any one day (413).
        """
        self._check(tenant, len(sizes), sum(sizes))
        self._count(tenant, len(sizes), sum(sizes))
        day = self._counted.day
        try:
            yield
        except BaseException:
            if self._today().day == day:  # a new one has not counted them
                self._count(tenant, -len(sizes), -sum(sizes))
            raise

    def fitting(self, tenant: str, sizes: Sequence[int]) -> int:
        """Return how many of some messages, from the first one on, a tenant may still append today."""
        limit, used = self._keys.limit_of(tenant), self.used(tenant)
        messages, size_bytes = self._part(limit.messages_a_day), self._part(limit.bytes_a_day)
        most = math.inf if messages is None else messages - used.messages
        most_bytes = math.inf if size_bytes is None else size_bytes - used.size_bytes
        return sum(takewhile(bool, (n <= most and size <= most_bytes for n, size in enumerate(accumulate(sizes), 1))))

    def most_bytes(self, tenant: str) -> int | None:
        """Return how many bytes of text a tenant may append here in any one day; None for no bound."""
        return self._part(self._keys.limit_of(tenant).bytes_a_day)

    def used(self, tenant: str) -> Used:
        """Return what a tenant has appended today."""
        return self._today().tenants.get(tenant, Used())

    def save(self) -> None:
        """Write the counts where they have changed."""
        if self._path is not None and self._counted is not self._saved:
            counted = self._counted
            write_secret(self._path, msgspec.json.encode(counted))
            self._saved = counted

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write the counts as long as the context lasts, and at its end."""
        ending = asyncio.Event()
        saving = asyncio.create_task(self._save_until(ending))
        try:
            yield
        finally:
            ending.set()
            await saving

    async def _save_until(self, ending: asyncio.Event) -> None:
        while True:
            try:
                async with asyncio.timeout(SAVE_S):
                    await ending.wait()
            except TimeoutError:
                pass
            try:
                await asyncio.to_thread(self.save)
            except OSError as error:
                _log.warning("what tenants have appended today could not be written to %s: %s", self._path, error)
            if ending.is_set():
                return

    def _check(self, tenant: str, messages: int, size_bytes: int) -> None:
        limit, used, gateways = self._keys.limit_of(tenant), self.used(tenant), self._keys.gateways
        for in_all, now, asked, what in (
            (limit.messages_a_day, used.messages, messages, "messages"),
            (limit.bytes_a_day, used.size_bytes, size_bytes, "bytes of text"),
        ):
            most = self._part(in_all)
            if most is None or not asked or now + asked <= most:
                continue
            part = f" ({most:,} by each of {gateways} gateways)" if gateways > 1 else ""
            may = f"the tenant {tenant} may append {in_all:,} {what} a day{part}"
            if asked > most:
                raise Problem(413, "too-large", f"{may}, and these are {asked:,}; send fewer at a time")
            wait_s = ((self._today().day + 1) * _DAY_MS - self._clock()) // 1000 + 1
            left = max(0, most - now)
            raise Problem(
                429,
                "quota-exceeded",
                f"{may} and has {left:,} left; wait until midnight (UTC), or have its operator raise it with: "
                f"{command('limit', shared=self._keys.shared)} --tenant {tenant}",
                headers={"Retry-After": str(wait_s)},
            )

    def _part(self, in_all: int | None) -> int | None:
        """Return what of a bound is for this process."""
        return None if in_all is None else -(-in_all // self._keys.gateways)

    def _count(self, tenant: str, messages: int, size_bytes: int) -> None:
        if not messages:
            return
        today, used = self._today(), self.used(tenant)
        now = Used(messages=max(0, used.messages + messages), size_bytes=max(0, used.size_bytes + size_bytes))
        self._counted = _File(day=today.day, tenants={**today.tenants, tenant: now})

    def _today(self) -> _File:
        day = self._clock() // _DAY_MS
        # A clock that is set back over midnight does not begin the day before anew; one that was a year ahead does.
        return self._counted if self._counted.day in (day, day + 1) else _File(day=day)


def read_usage(home: Path) -> _File:
    """Return what a home's file says; nothing where there is none, or one that cannot be read."""
    try:
        return msgspec.json.decode((home / FILE).read_bytes(), type=_File)
    except (OSError, msgspec.DecodeError):
        return _File()
