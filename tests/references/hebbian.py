"""The Hebbian rules once more, slowly and one edge at a time, written from the documentation alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from math import isqrt

CAP = 2**32
_MASK = 2**64 - 1


@cache
def factor(steps: int) -> int:
    """Return ⌊2^(47 − steps/1024)⌋: ten square roots are one 1024th root, and each may be rounded down."""
    value: int = 2 ** (47 * 1024 - steps)
    for _ in range(10):
        value = isqrt(value)
    return value


def decay(weight: int, from_ms: int, to_ms: int, half_life_ms: int) -> int:
    elapsed = to_ms * 1024 // half_life_ms - from_ms * 1024 // half_life_ms
    return weight if elapsed <= 0 else weight * factor(elapsed % 1024) // 2 ** (47 + elapsed // 1024)


@cache
def log2_steps(weight: int) -> int:
    """Return ⌊1024 · log₂ weight⌋."""
    power: int = weight**1024
    return power.bit_length() - 1


def event_hash(event_id: str) -> int:
    return int.from_bytes(blake2b(event_id.encode(), digest_size=8).digest())


def pair_hash(event: int, memory: bytes) -> int:
    mixed = event ^ int.from_bytes(memory[8:])
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)


@dataclass
class Edge:
    neighbour: bytes
    weight: int
    as_of_ms: int


@dataclass
class Row:
    """The neighbours of `memory`."""

    memory: bytes
    edges: list[Edge] = field(default_factory=list)
    hub_formed_ms: int = -1

    def strengthen(
        self,
        memories: list[bytes],
        event: int,
        time_ms: int,
        eta: int,
        *,
        half_life_ms: int,
        neighbours: int,
        newcomers: int,
    ) -> None:
        def fade(edge: Edge) -> tuple[int, bytes, int]:
            tick = edge.as_of_ms * 1024 // half_life_ms
            return tick + log2_steps(edge.weight), edge.neighbour[:2], self.edges.index(edge)

        if len(self.edges) > neighbours:
            gone = sorted(self.edges, key=fade)[: len(self.edges) - neighbours]
            self.edges = [edge for edge in self.edges if edge not in gone]
        touched = []
        waiting = []
        for memory in memories:
            if memory == self.memory:
                continue
            known = next((edge for edge in self.edges if edge.neighbour == memory), None)
            if known is None:
                waiting.append(memory)
                continue
            known.weight = min(CAP, decay(known.weight, known.as_of_ms, time_ms, half_life_ms) + eta)
            known.as_of_ms = max(known.as_of_ms, time_ms)
            touched.append(memory)
        while waiting and len(self.edges) < neighbours:
            self.edges.append(Edge(waiting[0], min(CAP, eta), time_ms))
            touched.append(waiting.pop(0))
        untouched = sorted((edge for edge in self.edges if edge.neighbour not in touched), key=fade)
        own = pair_hash(event, self.memory)
        lots = sorted(((pair_hash(event, memory) ^ own) >> 11, memories.index(memory), memory) for memory in waiting)
        for edge, (_, _, memory) in list(zip(untouched, lots, strict=False))[:newcomers]:
            edge.neighbour, edge.weight, edge.as_of_ms = memory, min(CAP, eta), time_ms

    def hub(
        self, time_ms: int, *, half_life_ms: int, strength: int, degree: int, cluster: int, rest_ms: int
    ) -> tuple[int, int, list[tuple[bytes, int]]] | None:
        """Return strength, degree and cluster when the memory forms a hub now."""
        weights = [(decay(edge.weight, edge.as_of_ms, time_ms, half_life_ms), edge.neighbour) for edge in self.edges]
        alive = sorted((-weight, neighbour) for weight, neighbour in weights if weight)
        total = -sum(weight for weight, _ in alive)
        rested = self.hub_formed_ms < 0 or time_ms - self.hub_formed_ms >= rest_ms
        if not rested or total < strength or len(alive) < degree:
            return None
        self.hub_formed_ms = time_ms
        return total, len(alive), [(neighbour, -weight) for weight, neighbour in alive[: cluster - 1]]
