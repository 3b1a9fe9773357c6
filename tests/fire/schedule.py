"""What goes wrong, and when: drawn from a seed before anything starts, so that the seed reproduces it."""

from __future__ import annotations

import random
from typing import Literal

from msgspec import Struct

Kind = Literal[
    "kill-worker",
    "end-worker",
    "freeze-worker",
    "add-worker",
    "remove-worker",
    "kill-store",
    "end-store",
    "freeze-store",
    "kill-broker",
    "freeze-broker",
]
_WEIGHTS: dict[Kind, int] = {
    "kill-worker": 6,
    "freeze-worker": 5,
    "end-worker": 2,
    "add-worker": 1,
    "remove-worker": 1,
    "kill-store": 3,
    "freeze-store": 2,
    "end-store": 1,
    "kill-broker": 2,
    "freeze-broker": 1,
}
SESSION_TIMEOUT_S = 3.0
"""Of the workers: a freeze lasts longer, so that the one who comes back has lost its partitions."""
FIRST_WORKERS = 2
MOST_WORKERS = 4


class Disturbance(Struct, frozen=True, kw_only=True):
    """One thing that goes wrong."""

    kind: Kind
    after_s: float
    """Pause since the last one began; that one may still be going on."""
    worker: int = -1
    """Which worker, where it is one."""
    lasts_s: float
    """Until it is started or goes on again."""

    def __str__(self) -> str:
        who = f" {self.worker}" if self.worker >= 0 else ""
        return f"after {self.after_s:.2f} s {self.kind}{who} for {self.lasts_s:.2f} s"


def drawn(seed: int, count: int) -> list[Disturbance]:
    """Return `count` disturbances; each kind is among them where there is room for all."""
    rng = random.Random(seed)
    kinds: list[Kind] = [*_WEIGHTS]
    rng.shuffle(kinds)
    kinds = kinds[:count] + rng.choices([*_WEIGHTS], weights=[*_WEIGHTS.values()], k=max(0, count - len(kinds)))
    rng.shuffle(kinds)
    running = list(range(FIRST_WORKERS))
    disturbances = []
    for drawn_kind in kinds:
        kind = drawn_kind
        worker = -1
        if kind == "remove-worker" and len(running) == 1:
            kind = "add-worker"
        if kind == "add-worker" and len(running) == MOST_WORKERS:
            kind = "remove-worker"
        if kind == "add-worker":
            worker = next(number for number in range(MOST_WORKERS) if number not in running)
            running.append(worker)
        elif kind.endswith("-worker"):
            worker = rng.choice(running)
            if kind == "remove-worker":
                running.remove(worker)
        disturbances.append(
            Disturbance(kind=kind, after_s=rng.uniform(0.5, 6.0), worker=worker, lasts_s=_lasts_s(kind, rng))
        )
    return disturbances


def _lasts_s(kind: Kind, rng: random.Random) -> float:
    match kind:
        case "freeze-worker":
            return SESSION_TIMEOUT_S + rng.uniform(1.0, 5.0)
        case "freeze-store" | "freeze-broker":
            return rng.uniform(1.0, 6.0)
        case "add-worker" | "remove-worker":
            return 0.0
        case _:
            return rng.uniform(0.0, 3.0)
