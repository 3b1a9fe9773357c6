"""A few shapes, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

INK, FAINT, GRID, PAPER, GROUND = "#ccccdc", "#8e8e9c", "#2c3036", "#181b1f", "#111217"
COLORS = ("#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#96d98d", "#ffb357", "#ca95e5")
NAMED = {"green": "#37872d", "orange": "#c15c17", "red": "#ad1f33", "purple": "#b877d9", "blue": "#5794f2"}
_CHARACTER = 0.56
"""Width of a character, in sizes of the font: enough for the wide ones of a sans serif."""


def width(text: str, size: float) -> float:
    """Return about how wide a text is."""
    return len(text) * size * _CHARACTER


def fitted(text: str, size: float, room: float) -> str:
    """Return as much of a text as there is room for."""
    most = max(1, int(room / (size * _CHARACTER)))
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def label(x: float, y: float, text: str, size: float = 11, *, color: str = INK, anchor: str = "start") -> str:
    """Write a text."""
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size:g}"'
    return f'<text {place} fill="{color}" text-anchor="{anchor}">{escape(text)}</text>'


def box(x: float, y: float, w: float, h: float, color: str, *, radius: float = 0, opacity: float = 1) -> str:
    """Fill a rectangle."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0, w):.1f}" height="{max(0, h):.1f}" rx="{radius:g}" '
        f'fill="{color}" fill-opacity="{opacity:g}"/>'
    )


def line(x1: float, y1: float, x2: float, y2: float, color: str, *, dashed: bool = False) -> str:
    """Draw a line."""
    dash = ' stroke-dasharray="3 3"' if dashed else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" stroke-width="1"{dash}/>'


def path(points: Sequence[tuple[float, float]], color: str) -> str:
    """Draw a line through points; a single one is a dot."""
    if len(points) == 1:
        return f'<circle cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="2" fill="{color}"/>'
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{places}" fill="none" stroke="{color}" stroke-width="1.4" stroke-linejoin="round"/>'


def area(above: Sequence[tuple[float, float]], below: Sequence[tuple[float, float]], color: str) -> str:
    """Fill what lies between two lines."""
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in (*above, *reversed(below)))
    return f'<polygon points="{places}" fill="{color}" fill-opacity="0.25"/>'


def document(w: float, h: float, shapes: Sequence[str]) -> str:
    """Return a whole picture."""
    font = "font-family=\"Inter, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif\""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w:g} {h:g}" width="{w:g}" height="{h:g}" {font}>'
    return "\n".join([head, box(0, 0, w, h, GROUND), *shapes, "</svg>"]) + "\n"
