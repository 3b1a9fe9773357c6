"""How long a command waits for what is away."""

from __future__ import annotations

from helamem.schemas.errors import RetryLater
from helamem.streams.cli.session import PATIENCE_S, Patience


class Clock:
    """A clock that is set by hand, in seconds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_patience_ends_once_and_is_renewed_by_progress() -> None:
    """Only what is away for the whole time, with nothing done in between, makes a command give up."""
    clock = Clock()
    given_up: list[float] = []
    patience = Patience(lambda: given_up.append(clock.now), clock)
    patience.note(RetryLater("away"))
    clock.now = PATIENCE_S - 0.1
    patience.note(RetryLater("away"))
    patience.renew()
    clock.now = PATIENCE_S
    patience.note(RetryLater("away"))
    assert given_up == []
    assert patience.exhausted is None
    clock.now = 2 * PATIENCE_S
    first = RetryLater("still away")
    patience.note(first)
    patience.note(RetryLater("away again"))
    assert given_up == [2 * PATIENCE_S]
    assert patience.exhausted is first
