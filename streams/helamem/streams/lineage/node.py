"""One thing in a lineage, and what it came from or what it caused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from msgspec import Struct

Kind = Literal[
    "fact",
    "hub",
    "memory",
    "pair",
    "edge",
    "temporal-edge",
    "message",
    "recalled",
    "reinforced",
    "distilled",
    "retracted",
    "forgotten",
    "restored",
    "erased",
    "settings",
    "dead-letter",
]


class Node(Struct, frozen=True, kw_only=True):
    """One thing: an event is named by its event id, all else by its own."""

    kind: Kind
    id: str
    details: dict[str, Any]
    """Plain data, as it is printed."""
    children: tuple[Node, ...] = ()


class Lineage(Struct, frozen=True, kw_only=True):
    """Where something came from, or what it caused."""

    space: str
    node: Node
    problems: tuple[str, ...] = ()
    """What is missing from the log, or contradicts it; each a sentence."""


def as_json(node: Node) -> dict[str, Any]:
    """Return a node as it is printed for programs."""
    return {"kind": node.kind, "id": node.id, **node.details, "children": [as_json(child) for child in node.children]}


def walk(node: Node, parent: Node | None = None) -> Iterator[tuple[Node | None, Node]]:
    """Yield every node with its parent, from the top down."""
    yield parent, node
    for child in node.children:
        yield from walk(child, node)
