"""`python -m deploy.grafana.picture URL FOLDER`: draw the dashboards from what a Prometheus has, without a Grafana.

Each query of each panel is asked as Grafana would ask it, and drawn in the dashboard's own layout. It shows the same
numbers, and not how Grafana looks.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from deploy.grafana.picture import svg
from deploy.grafana.picture.asking import Asked, UnansweredError
from deploy.grafana.picture.panels import Place, drawn

BOARDS = Path(__file__).parents[1] / "dashboards"
WIDTH = 1240.0
GAP = 8.0
UNIT = 34.0
"""Height of a line of Grafana's grid."""
_HEAD = 54.0


def picture(board: Mapping[str, Any], asked: Asked) -> str:
    """Return a dashboard as SVG."""
    marks = [
        (svg.NAMED[mark["iconColor"]], begin, end)
        for mark in board["annotations"]["list"]
        for begin, end in asked.marks(mark)
    ]
    column = (WIDTH - GAP) / 24
    shapes = [
        svg.label(GAP + 4, 26, board["title"], 18),
        svg.label(GAP + 4, 44, board["description"], 11.5, color=svg.FAINT),
    ]
    bottom = _HEAD
    for panel in board["panels"]:
        grid = panel["gridPos"]
        place = Place(
            GAP + grid["x"] * column, _HEAD + grid["y"] * UNIT, grid["w"] * column - GAP, grid["h"] * UNIT - GAP
        )
        if panel["type"] == "row":
            shapes.append(svg.label(place.x + 4, place.y + 19, panel["title"], 13.5))
        else:
            shapes += drawn(panel, place, asked, marks)
        bottom = max(bottom, place.y + place.h)
    return svg.document(WIDTH, bottom + GAP, shapes)


def main() -> None:
    """Write one file for each dashboard."""
    parser = argparse.ArgumentParser(prog="python -m deploy.grafana.picture", description=__doc__)
    parser.add_argument("url", help="of Prometheus, such as http://localhost:9090")
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--minutes", type=float, default=60, help="how far back, from now")
    parser.add_argument("--rate", type=float, default=60, metavar="SECONDS", help="over which rates are taken")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="such as overview", default=[])
    arguments = parser.parse_args()

    def refuse(sentence: str) -> NoReturn:
        parser.exit(2, f"{parser.prog}: {sentence}\n")

    boards = {path.stem: json.loads(path.read_text()) for path in sorted(BOARDS.glob("*.json"))}
    if unknown := [name for name in arguments.only if name not in boards]:
        refuse(f"there is no dashboard {unknown[0]}; there are {', '.join(boards)}")
    if not arguments.folder.is_dir():
        refuse(f"there is no folder {arguments.folder}; make it, or name another")
    now_s = time.time()
    asked = Asked(
        url=arguments.url.rstrip("/"), begin_s=now_s - arguments.minutes * 60, end_s=now_s, rate_s=arguments.rate
    )
    try:
        pictures = {name: picture(boards[name], asked) for name in arguments.only or boards}
    except UnansweredError as error:
        refuse(str(error))
    for name, text in pictures.items():
        (arguments.folder / f"{name}.svg").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
