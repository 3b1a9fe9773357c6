"""When a request is sent again, step by step, without a network and without waiting."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from helamem.client import Retries, UnreachableError, WaitError, requests
from helamem.client.requests import Flow
from helamem.client.retries import ONCE_AND_AGAIN, Outcome, Reply, steps

NOW = datetime(2025, 5, 12, 18, tzinfo=UTC)
SPACES = Reply(status=200, headers={}, body=b'{"spaces": [], "next": null}')
RECALLED = Reply(
    status=200,
    headers={},
    body=b'{"recall_id": "r", "space": "a/b", "as_of": "2025-05-12T18:00:00Z", "recorded": true, "results": []}',
)


def away(status: int = 503, **headers: str) -> Reply:
    return Reply(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}, body=b"")


def waits(
    flow: Flow[Any], outcomes: Sequence[Outcome], retries: Retries = ONCE_AND_AGAIN, random: float = 1.0
) -> list[float]:
    """Return for how long a client waits where this comes of what it sends."""
    going = steps(flow, "http://gateway", retries, lambda: random, lambda: NOW)
    left, waited, outcome = list(outcomes), list[float](), None
    try:
        while True:
            step = going.send(outcome)
            if isinstance(step, float):
                waited.append(step)
                outcome = None
            else:
                outcome = left.pop(0)
    except StopIteration:
        assert not left
        return waited


def test_waits_double_up_to_the_longest_and_are_random() -> None:
    retries = Retries(attempts=6, first_s=1.0, longest_s=5.0)
    outcomes = [away()] * 5 + [SPACES]
    assert waits(requests.spaces(), outcomes, retries) == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert waits(requests.spaces(), outcomes, retries, random=0.25) == [0.25, 0.5, 1.0, 1.25, 1.25]


def test_a_wait_that_is_asked_for_is_kept() -> None:
    """In seconds or as a date; what cannot be read asks for nothing."""
    retries = Retries(first_s=1.0)
    for text, least_s in (
        ("3", 3.0),
        ("Mon, 12 May 2025 18:00:07 GMT", 7.0),
        ("Mon, 12 May 2025 17:00:00 GMT", 0.0),
        ("Mon, 12 May 2025 18:00:07", 0.0),
        ("soon", 0.0),
        ("²", 0.0),
    ):
        assert waits(requests.spaces(), [away(429, retry_after=text), SPACES], retries) == [least_s + 1.0]


def test_a_wait_that_is_too_long_is_left_to_the_caller() -> None:
    with pytest.raises(WaitError):
        waits(requests.spaces(), [away(429, retry_after="3600")])


@pytest.mark.parametrize(
    ("outcome", "recalls", "reads"),
    [
        (away(503), True, True),
        (away(429), True, True),
        (away(502), False, True),
        (away(504), False, True),
        (httpx.ConnectError("refused"), True, True),
        (httpx.ConnectTimeout("late"), True, True),
        (httpx.ReadError("lost"), False, True),
        (httpx.ReadTimeout("late"), False, True),
        (httpx.RemoteProtocolError("lost"), False, True),
        (httpx.UnsupportedProtocol("no"), False, False),
        (away(500), False, False),
        (away(400), False, False),
    ],
)
def test_what_may_have_been_done_is_not_done_twice(outcome: Outcome, *, recalls: bool, reads: bool) -> None:
    """A recorded recall is sent again only where it was not answered; what has the same effect twice, also else."""
    for flow, answer, again in (
        (requests.recall("a/b", "Where?"), RECALLED, recalls),
        (requests.recall("a/b", "Where?", record=False), RECALLED, reads),
        (requests.spaces(), SPACES, reads),
    ):
        if again:
            assert len(waits(flow, [outcome, answer])) == 1
        else:
            with pytest.raises(Exception, match="http://gateway"):
                waits(flow, [outcome])


def test_it_ends() -> None:
    with pytest.raises(UnreachableError, match="does not answer: refused"):
        waits(requests.spaces(), [httpx.ConnectError("refused")] * 3, Retries(attempts=3))
