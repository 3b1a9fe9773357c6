"""One panel, drawn from what its queries gave: numbers, lines, or bars."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from deploy.grafana.picture import svg
from deploy.grafana.picture.asking import Asked, Series
from deploy.grafana.picture.units import text, ticks
from msgspec import Struct

_PAD = 10.0
_HEAD = 28.0
_LEGEND = 16.0


class Place(Struct, frozen=True):
    """Where a panel lies."""

    x: float
    y: float
    w: float
    h: float


Marks = Sequence[tuple[str, float, float]]
"""Color, begin and end of what is marked."""


def drawn(panel: Mapping[str, Any], place: Place, asked: Asked, marks: Marks) -> list[str]:
    """Return the shapes of a panel."""
    series = [one for target in panel["targets"] for one in sorted(asked.answers(target), key=lambda one: one.name)]
    unit = panel["fieldConfig"]["defaults"]["unit"]
    shapes = [
        svg.box(place.x, place.y, place.w, place.h, svg.PAPER, radius=3),
        svg.label(place.x + _PAD, place.y + 18, svg.fitted(panel["title"], 12.5, place.w - 2 * _PAD), 12.5),
    ]
    if not series:
        return [*shapes, svg.label(place.x + place.w / 2, place.y + place.h / 2, "No data", 13, anchor="middle")]
    if panel["type"] == "stat":
        return shapes + _numbers(panel, place, series, unit)
    if panel["type"] == "bargauge":
        return shapes + _bars(place, series)
    return shapes + _lines(panel, place, series, asked, marks)


def _numbers(panel: Mapping[str, Any], place: Place, series: Sequence[Series], unit: str) -> list[str]:
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    each = place.w / len(series)
    shapes = []
    for number, one in enumerate(series):
        value = text(one.last, unit, panel["fieldConfig"]["defaults"].get("decimals"))
        reached = [step["color"] for step in steps if step["value"] is None or one.last >= step["value"]]
        middle = place.x + each * (number + 0.5)
        filled = panel["options"]["colorMode"] == "background"
        if filled:
            at = (place.x + each * number + 4, place.y + _HEAD, each - 8, place.h - _HEAD - 4)
            shapes.append(svg.box(*at, svg.NAMED[reached[-1]], radius=3))
        size = min(30.0, (each - 16) / max(1, len(value)) / 0.56)
        named = panel["options"]["textMode"] == "value_and_name"
        y = place.y + _HEAD + (place.h - _HEAD) / 2 + (2 if named else size / 3)
        shapes.append(svg.label(middle, y, value, size, color="#ffffff" if filled else svg.COLORS[0], anchor="middle"))
        if named:
            shapes.append(svg.label(middle, y + 20, svg.fitted(one.name, 11, each - 8), 11, anchor="middle"))
    return shapes


def _bars(place: Place, series: Sequence[Series]) -> list[str]:
    """Draw a histogram: its buckets count upwards, and a bar is what one has more than the one before."""
    bounds = sorted(series, key=lambda one: float(one.name.replace("+Inf", "inf")))
    counts = [
        max(0.0, one.last - before) for one, before in zip(bounds, [0.0, *(b.last for b in bounds)], strict=False)
    ]
    most = max(*counts, 1e-9)
    x, w = place.x + _PAD, (place.w - 2 * _PAD) / len(bounds)
    top, bottom = place.y + _HEAD + 14, place.y + place.h - 22
    shapes = []
    for number, (one, count) in enumerate(zip(bounds, counts, strict=True)):
        high = (bottom - top) * count / most
        shapes += [
            svg.box(x + number * w + 2, bottom - high, w - 4, high, svg.COLORS[0], opacity=0.85),
            svg.label(x + (number + 0.5) * w, bottom + 14, _bound(one.name), 9, color=svg.FAINT, anchor="middle"),
            svg.label(x + (number + 0.5) * w, bottom - high - 4, text(round(count), "short"), 9, anchor="middle"),
        ]
    return shapes


def _bound(name: str) -> str:
    return "more" if name == "+Inf" else f"≤{float(name):g}"


def _lines(panel: Mapping[str, Any], place: Place, series: Sequence[Series], asked: Asked, marks: Marks) -> list[str]:
    names = _legend(place, series)
    unit = panel["fieldConfig"]["defaults"]["unit"]
    stacked = panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
    floors = _floors(series) if stacked else [dict.fromkeys((at for at, _ in one.points), 0.0) for one in series]
    most = max(value + floor[at] for one, floor in zip(series, floors, strict=True) for at, value in one.points)
    lines = ticks(min(most, panel["fieldConfig"]["defaults"].get("max", most)), unit)
    left = max(svg.width(text(value, unit), 10) for value in lines) + 8
    x0, x1 = place.x + _PAD + left, place.x + place.w - _PAD
    y0, y1 = place.y + place.h - 8 - names.height - 18, place.y + _HEAD + 8

    def at(when: float, value: float) -> tuple[float, float]:
        return (
            x0 + (x1 - x0) * (when - asked.begin_s) / (asked.end_s - asked.begin_s),
            y0 - (y0 - y1) * value / lines[-1],
        )

    shapes = _axes(lines, unit, (x0, x1, y0, y1), asked)
    for color, begin, end in marks:
        x = at(begin, 0)[0]
        if end > begin:
            shapes.append(svg.box(x, y1, max(2.0, at(end, 0)[0] - x), y0 - y1, color, opacity=0.3))
        else:
            shapes.append(svg.line(x, y1, x, y0, color, dashed=True))
    for number, (one, floor) in enumerate(zip(series, floors, strict=True)):
        color = svg.COLORS[number % len(svg.COLORS)]
        above = [at(when, min(value + floor[when], lines[-1])) for when, value in one.points]
        if stacked:
            shapes.append(svg.area(above, [at(when, floor[when]) for when, _ in one.points], color))
        shapes.append(svg.path(above, color))
    return shapes + names.shapes


def _floors(series: Sequence[Series]) -> list[dict[float, float]]:
    """Return for each series on what it stands where they are stacked."""
    floors, reached = [], dict[float, float]()
    for one in series:
        floors.append({at: reached.get(at, 0.0) for at, _ in one.points})
        reached |= {at: reached.get(at, 0.0) + value for at, value in one.points}
    return floors


def _axes(lines: Sequence[float], unit: str, sides: tuple[float, float, float, float], asked: Asked) -> list[str]:
    x0, x1, y0, y1 = sides
    shapes = []
    for value in lines:
        y = y0 - (y0 - y1) * value / lines[-1]
        shapes += [
            svg.line(x0, y, x1, y, svg.GRID),
            svg.label(x0 - 6, y + 3.5, text(value, unit), 10, color=svg.FAINT, anchor="end"),
        ]
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        when = time.strftime("%H:%M:%S", time.gmtime(asked.begin_s + share * (asked.end_s - asked.begin_s)))
        shapes.append(svg.label(x0 + share * (x1 - x0), y0 + 14, when, 10, color=svg.FAINT, anchor=anchor))
    return shapes


class _Legend(Struct, frozen=True):
    shapes: list[str]
    height: float


def _legend(place: Place, series: Sequence[Series], most_lines: int = 3) -> _Legend:
    """Lay the names out below the panel, in as many lines as they need, and say how many had no room."""
    room = place.w - 2 * _PAD
    rows: list[list[tuple[str, float, str]]] = [[]]
    x = 0.0
    left_out = 0
    for number, one in enumerate(series):
        name = svg.fitted(one.name, 10.5, room - 20)
        w = svg.width(name, 10.5) + 26
        if x + w > room and rows[-1]:
            if len(rows) == most_lines:
                left_out = len(series) - number
                break
            rows, x = [*rows, []], 0.0
        rows[-1].append((svg.COLORS[number % len(svg.COLORS)], x, name))
        x += w
    if left_out:
        rows[-1] = [*rows[-1][:-1], (svg.PAPER, rows[-1][-1][1], f"and {left_out + 1} more")]
    y = place.y + place.h - 8 - _LEGEND * (len(rows) - 1)
    shapes = []
    for number, row in enumerate(rows):
        for color, x, name in row:
            at = y + number * _LEGEND
            shapes += [
                svg.box(place.x + _PAD + x, at - 7, 10, 4, color, radius=1),
                svg.label(place.x + _PAD + x + 14, at - 1, name, 10.5),
            ]
    return _Legend(shapes, _LEGEND * len(rows))
