"""When a service is asked again: jitter within bounds, Retry-After, and a circuit that opens and closes."""

from __future__ import annotations

import pytest

from helamem.processors.consolidation.llm.patience import Circuit, PatienceSettings, retry_after_s, wait_s
from helamem.schemas.errors import RetryLater

SETTINGS = PatienceSettings(failures=3, rest_s=10.0, longest_rest_s=25.0)


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_waits_double_up_to_a_bound_with_jitter() -> None:
    """Between half and all of the bound, so that those who failed together do not come back together."""
    settings = PatienceSettings(first_s=1.0, longest_s=8.0)
    assert [wait_s(settings, n, lambda: 1.0) for n in range(1, 6)] == [1, 2, 4, 8, 8]
    assert [wait_s(settings, n, lambda: 0.0) for n in (1, 5, 10_000)] == [0.5, 4, 4]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("nan", None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
    ],
)
def test_retry_after_is_understood(header: str | None, seconds: float | None) -> None:
    """In seconds or as a date."""
    assert retry_after_s(header, lambda: 60.0) == seconds


def test_the_circuit_opens_rests_and_tries_with_one_call() -> None:
    """Each failure of that one call doubles the rest, up to a bound; a success closes it."""
    clock, told = Clock(), list[bool]()
    circuit = Circuit(SETTINGS, told.append, clock)
    for _ in range(3):
        circuit.enter()
        circuit.failed("answers 500")
    assert told == [True]
    for rest in (10.0, 20.0, 25.0, 25.0):
        with pytest.raises(RetryLater, match=rf"service answers 500; it is left alone for {rest:.0f} s"):
            circuit.enter()
        clock.now_s += rest
        circuit.enter()
        with pytest.raises(RetryLater, match="answers 500; another call tries it"):
            circuit.enter()
        circuit.failed("answers 500")
    clock.now_s += 25.0
    circuit.enter()
    circuit.given_up()  # whoever tried was stopped: another one may try
    circuit.enter()
    circuit.succeeded()
    assert told == [True, False]
    for _ in range(2):
        circuit.enter()
        circuit.failed("answers 500")
    circuit.enter()


def test_failures_of_calls_begun_before_do_not_lengthen_the_rest() -> None:
    """Several calls were under way when it opened; theirs is the same outage."""
    clock = Clock()
    circuit = Circuit(SETTINGS, clock=clock)
    for _ in range(8):
        circuit.failed("answers 500")
    assert circuit.pause_s == 10.0


def test_a_service_that_says_how_long_is_left_alone_so_long() -> None:
    """At most a day, and without the circuit being open."""
    clock = Clock()
    circuit = Circuit(SETTINGS, clock=clock)
    circuit.failed("answers 429", 4.0)
    assert (circuit.pause_s, circuit.is_open) == (4.0, False)
    circuit.failed("answers 429", 1.0)
    assert circuit.pause_s == 4.0
    circuit.succeeded()
    circuit.failed("answers 429", 1e12)
    assert circuit.pause_s == 86_400.0
