"""Draws the README's picture of the demo: python docs/pictures/draw.py."""

from __future__ import annotations

import asyncio
import re
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME

from helamem.streams.cli.demo import draw
from helamem.streams.demo.play import play

_WIDTH = 118


def main() -> None:
    """Play the demo and write demo.svg beside this file."""
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(play(Path(folder) / "home", Path(folder) / "rebuilt"))
    console = Console(record=True, width=_WIDTH, file=StringIO())
    draw(console, report, None)
    svg = console.export_svg(title="helamem demo", theme=SVG_EXPORT_THEME)
    # The picture fetches nothing: the viewer's own monospaced font serves.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("font-family: Fira Code, monospace", "font-family: ui-monospace, Menlo, Consolas, monospace")
    Path(__file__).with_name("demo.svg").write_text(svg)


if __name__ == "__main__":
    main()
