"""Numbers in pictures read as a person would write them."""

from __future__ import annotations

import pytest
from deploy.grafana.picture.units import text, ticks


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [
        (0, "s", "0"),
        (0.0123, "s", "12.3 ms"),
        (90, "s", "1.5 min"),
        (1, "percentunit", "100 %"),
        (1536, "bytes", "1.5 KiB"),
        (12, "bytes", "12 B"),
        (2170, "short", "2.17K"),
        (13.65, "recps", "13.7 rec/s"),
        (0, "ops", "0 op/s"),
        (999.99, "short", "1K"),
    ],
)
def test_a_number_has_three_digits_and_its_unit(value: float, unit: str, written: str) -> None:
    """And no zeros that say nothing."""
    assert text(value, unit) == written


def test_things_are_counted_whole() -> None:
    """Prometheus extrapolates an increase, and nobody forms 43.1 hubs."""
    assert text(43.1, "short", 0) == "43"


@pytest.mark.parametrize(
    ("most", "unit", "lines"),
    [
        (0, "ops", [0, 1]),
        (0.9, "ops", [0, 0.25, 0.5, 0.75, 1]),
        (0.0381, "s", [0, 0.01, 0.02, 0.03, 0.04]),
        (3 * 2**20, "bytes", [0, 2**20, 2 * 2**20, 3 * 2**20]),
    ],
)
def test_axes_have_round_numbers(most: float, unit: str, lines: list[float]) -> None:
    """In the unit in which they are written."""
    assert ticks(most, unit) == pytest.approx(lines)
