"""A lineage as a tree for a person."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.text import Text
from rich.tree import Tree

from helamem.streams.cli.output import printable, shortened

if TYPE_CHECKING:  # it stands with what imports arrays
    from helamem.streams.lineage.node import Node

SHOWN = 12
"""Most events below one thing; JSON has them all."""
_UNITS = 2**32
_Details = dict[str, Any]


def tree(node: Node) -> Tree:
    """Return a lineage as a tree; of long lists of recalls it shows the beginning, and says how many there are."""
    drawn = Tree(_line(node))
    _grow(drawn, node)
    return drawn


def _grow(drawn: Tree, node: Node) -> None:
    counts: dict[str, int] = {}
    for child in node.children:
        counts[child.kind] = counts.get(child.kind, 0) + 1
        if counts[child.kind] <= SHOWN:
            _grow(drawn.add(_line(child)), child)
    for kind, count in counts.items():
        if count > SHOWN:
            drawn.add(Text(f"… and {count - SHOWN} more of {kind}; --json has them all", "dim"))


def _line(node: Node) -> Text:
    what = _WORDS.get(node.kind, _reason)(node.details)
    line = Text(f"{node.kind} ", "bold")
    line.append(printable(what.replace("\n", " ")))
    where = [] if node.kind in ("pair", "edge", "temporal-edge") else [node.id]
    if record := node.details.get("record"):
        where.append(f"{record['topic']}/{record['partition']}@{record['offset']}")
        where.append(node.details["time"])
        where.append(f"sha256 {record['sha256'][:16]}…")
    if where:
        line.append(printable(f"  {'  '.join(where)}"), "dim")
    return line


def _edge(details: _Details) -> str:
    if by := details.get("evicted_by"):
        return f"pushed out of the list of {details['memory_ids'][0]} by {by}"
    one, other = details["memory_ids"]
    beside = " (also neighbouring turns)" if details.get("neighbouring_turns") else ""
    at = f" at {details['as_of']}" if "as_of" in details else ""
    share = f", {_given(details)}" if "gain_units" in details else ""
    return f"weight {details['weight']:.9f}{at} of {one} with {other}{beside}{share}"


def _given(details: _Details) -> str:
    asked = f"“{shortened(details['query'])}” " if "query" in details else ""
    asked += f"from the cue {details['cue']} " if "cue" in details else ""
    if "gain_units" not in details:
        return asked
    return f"{asked}given {details['gain_units'] / _UNITS:.9f}, of which {details['contribution']:.9f} is left"


def _fact(details: _Details) -> str:
    return f"{shortened(details['text'])} (about {details['subject']}, by {details['distiller']})"


def _hub(details: _Details) -> str:
    return (
        f"of strength {details['strength_units'] / _UNITS:.6f} with {details['degree']} links, "
        f"formed by {details['cause']}"
    )


def _reason(details: _Details) -> str:
    return str(details.get("reason", ""))


def _spoken(details: _Details) -> str:
    return f"{details['speaker']}: {shortened(details['text'])}"


_WORDS: dict[str, Callable[[_Details], str]] = {
    "fact": _fact,
    "distilled": _fact,
    "hub": _hub,
    "memory": lambda details: f"turn {details['turn']} of {details['conversation']}",
    "message": _spoken,
    "pair": lambda details: " and ".join(details["memory_ids"]),
    "edge": _edge,
    "temporal-edge": lambda details: f"weight {details['weight']}: neighbouring turns, given and not learned",
    "recalled": _given,
    "reinforced": _given,
    "settings": lambda details: "in force from here on",
}
