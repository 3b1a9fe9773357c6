"""What each event changed of links, put together, is what the fold made of them."""

from __future__ import annotations

import hashlib
import random
import uuid

import pytest

from helamem.processors.coactivation.fold import CoActivated, fold
from helamem.processors.coactivation.rowcache import RowKey
from helamem.processors.hebbian.decay import CAP
from helamem.processors.hebbian.packing import unpack
from helamem.processors.history.changes import Pair
from helamem.processors.history.links import Links
from helamem.processors.store.port import EdgeRow
from helamem.schemas.ids import id_text
from helamem.schemas.records import Position
from helamem.schemas.settings import HebbianSettings
from helamem.schemas.times import format_ms

SPACE = "acme/mira"
IDS = [str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))) for number in range(14)]
SHORT = HebbianSettings(neighbours=4, newcomers=2)
SHORTER = HebbianSettings(neighbours=3, newcomers=1)
"""Put in force in the middle: rows are shortened when they are touched next."""
DAY_MS = 86_400_000


def happened(seed: int) -> list[tuple[CoActivated, HebbianSettings]]:
    """Return events, some of which come out of their time."""
    chance = random.Random(seed)
    return [
        (
            CoActivated(
                event_id=str(number),
                event_hash=hashlib.sha256(str(number).encode()).digest()[:8],
                space=SPACE,
                time_ms=(1000 + chance.randrange(max(1, number - 5), number + 5)) * DAY_MS,
                position=Position(1, number),
                memory_ids=tuple(chance.sample(IDS, chance.randrange(2, 7))),
                eta=chance.choice((CAP // 1000, CAP // 10)),
                applied={},
            ),
            SHORT if number < 80 else SHORTER,
        )
        for number in range(1, 120)
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("skipped", [0, 50])
def test_the_changes_come_to_what_the_fold_makes(seed: int, skipped: int) -> None:
    """After each event the links are those in the rows, the stronger one where two lists differ; some gave way.

    The same where the first events were skipped, which tells what later ones changed.
    """
    rows: dict[RowKey, EdgeRow] = {}
    links = Links(SPACE)
    drawn: dict[Pair, tuple[float, str]] = {}
    pruned = differing = 0
    for number, (event, settings) in enumerate(happened(seed)):
        rows |= fold([event], rows, settings).rows
        if number < skipped:
            links.skip(event, settings)
            drawn = in_rows(rows)[0]
            continue
        changed = links.tell(event, settings)
        for edge in changed.edges:
            assert drawn.get(edge.memory_ids) != (edge.weight, edge.last_strengthened), "nothing changed"
            drawn[edge.memory_ids] = edge.weight, edge.last_strengthened
        for pair in changed.pruned:
            del drawn[pair]
        pruned += len(changed.pruned)
        held, one_sided = in_rows(rows)
        differing += one_sided
        assert drawn == held
    assert pruned > 20
    assert differing > 20


def in_rows(rows: dict[RowKey, EdgeRow]) -> tuple[dict[Pair, tuple[float, str]], int]:
    """Return the links in rows, and of how many the two lists differ."""
    found: dict[Pair, list[tuple[int, int]]] = {}
    for row in rows.values():
        for neighbour, weight, as_of_ms in unpack(row.neighbours):
            one, other = sorted((row.memory_id, id_text(neighbour)))
            found.setdefault((one, other), []).append((weight, as_of_ms))
    stronger = {pair: max(edges) for pair, edges in found.items()}
    differing = sum(len(edges) < 2 or edges[0] != edges[1] for edges in found.values())
    return {pair: (weight / CAP, format_ms(as_of)) for pair, (weight, as_of) in stronger.items()}, differing
