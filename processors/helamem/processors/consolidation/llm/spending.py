"""What a tenant may spend in a day: counted from the record of answers, so restarts and other workers count too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from msgspec import Struct

from helamem.processors.answers import Answers


class Tokens(Struct, frozen=True):
    """What answers took."""

    tokens_in: int = 0
    tokens_out: int = 0


class Ledger(Answers, Protocol):
    """Recorded answers that know on whose account they were asked."""

    async def spent(self, tenant: str, since_ms: int) -> Tokens:
        """Return what was recorded on a tenant's account since a moment (milliseconds since 1970).

        Raises:
            RetryLater: The record is away.
        """
        ...


class Prices(Struct, frozen=True, kw_only=True):
    """What a model costs, per million tokens, in whatever currency."""

    per_million_in: float = 0.0
    per_million_out: float = 0.0

    def of(self, tokens: Tokens) -> float:
        """Return what tokens cost."""
        return (tokens.tokens_in * self.per_million_in + tokens.tokens_out * self.per_million_out) / 1e6


class Cap(Struct, frozen=True, kw_only=True):
    """What each tenant may spend in a day (UTC); None is no bound."""

    tokens: int | None = None
    cost: float | None = None


class Budget:
    """Says whether a tenant may ask.

    Calls under way are counted as what they may take at most in answer, and a third of the bytes of the question. So
    are those of this process that were not answered, for the rest of the day: they may be billed. With that a tenant
    ends the day above its cap by the error of this guess and what other workers ask at that very moment.

    Args:
        ledger: What was spent.
        cap: What may be.
        prices: Of the model.
        clock: Milliseconds since 1970.
    """

    def __init__(self, ledger: Ledger, cap: Cap, prices: Prices, clock: Callable[[], int]) -> None:
        self._ledger = ledger
        self._cap = cap
        self.prices = prices
        self._clock = clock
        self._under_way: Counter[tuple[str, str]] = Counter()
        self._lost: Counter[tuple[str, str]] = Counter()
        self._lost_since_ms = 0

    async def reserve(self, tenant: str, tokens: Tokens) -> bool:
        """Count a call as under way and return True, or False where it would take a tenant above its cap.

        Raises:
            RetryLater: The record is away.
        """
        if self.is_bounded:
            since_ms = self._today()
            spent = await self._ledger.spent(tenant, since_ms)
            known = Tokens(
                spent.tokens_in + self._lost[tenant, "in"] + self._under_way[tenant, "in"] + tokens.tokens_in,
                spent.tokens_out + self._lost[tenant, "out"] + self._under_way[tenant, "out"] + tokens.tokens_out,
            )
            if self._cap.tokens is not None and known.tokens_in + known.tokens_out > self._cap.tokens:
                return False
            if self._cap.cost is not None and self.prices.of(known) > self._cap.cost:
                return False
        self._under_way[tenant, "in"] += tokens.tokens_in
        self._under_way[tenant, "out"] += tokens.tokens_out
        return True

    @property
    def is_bounded(self) -> bool:
        """Whether there is a cap."""
        return self._cap.tokens is not None or self._cap.cost is not None

    def lose(self, tenant: str, tokens: Tokens) -> None:
        """Count a call that was not answered as spent, for the rest of the day."""
        self._today()
        self._lost[tenant, "in"] += tokens.tokens_in
        self._lost[tenant, "out"] += tokens.tokens_out

    def _today(self) -> int:
        """Return when the day began, and forget what was lost on another one."""
        since_ms = day_began_ms(self._clock())
        if since_ms != self._lost_since_ms:
            self._lost.clear()
            self._lost_since_ms = since_ms
        return since_ms

    def release(self, tenant: str, tokens: Tokens) -> None:
        """Count a call as over; what it took stands in the record."""
        self._under_way[tenant, "in"] -= tokens.tokens_in
        self._under_way[tenant, "out"] -= tokens.tokens_out


def day_began_ms(now_ms: int) -> int:
    """Return when the day (UTC) of a moment began, in milliseconds since 1970."""
    day = datetime.fromtimestamp(now_ms / 1000, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return int(day.timestamp() * 1000)
