"""Numbers as a person reads them, in Grafana's units."""

from __future__ import annotations

import math
from collections.abc import Sequence

_TIMES = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_BYTES = ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))
_COUNTS = ((1e9, "G"), (1e6, "M"), (1e3, "K"))
_AFTER = {"recps": " rec/s", "eps": " evt/s", "ops": " op/s"}


def text(value: float, unit: str, decimals: int | None = None) -> str:
    """Return a number with its unit."""
    if decimals is not None and abs(value) < _COUNTS[-1][0]:
        value = round(value, decimals)
    if unit == "s":
        return _scaled(value, _TIMES, "s")
    if unit == "bytes":
        return _scaled(value, _BYTES, "B")
    if unit == "percentunit":
        return f"{_short(value * 100)} %"
    return _scaled(value, _COUNTS, "", apart="") + _AFTER.get(unit, "")


def ticks(most: float, unit: str, count: int = 4) -> list[float]:
    """Return where an axis from 0 to at least `most` has lines: at round numbers of the unit."""
    if most <= 0 or not math.isfinite(most):
        return [0.0, 1.0]
    scale = 1.0
    if unit == "bytes":
        scale = next((size for size, _ in _BYTES if most >= size), 1.0)
    elif unit == "s":
        scale = next((size for size, _ in _TIMES if most >= size), 1e-6)
    rough = most / scale / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= rough * 0.999)
    return [number * step * scale for number in range(math.ceil(most / scale / step - 1e-9) + 1)]


def _scaled(value: float, scales: Sequence[tuple[float, str]], plain: str, apart: str = " ") -> str:
    size, name = next(((size, name) for size, name in scales if abs(value) >= size * 0.9999), (1.0, plain))
    if value == 0 or (name == plain and not plain):
        return _short(value)
    return f"{_short(value / size)}{apart}{name}"


def _short(value: float) -> str:
    """Return three digits that mean something, and no zeros that say nothing."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    rounded = f"{value:.{digits}f}"
    return rounded.rstrip("0").rstrip(".") if "." in rounded else rounded
