from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from helamem.schemas.ids import (
    _NAMESPACE,
    derived_id,
    edge_row_id,
    fact_id,
    id_bytes,
    id_text,
    mark_id,
    memory_id,
)


@given(st.lists(st.text(), min_size=1))
def test_derived_ids_are_uuid5(parts: list[str]) -> None:
    """The fast way gives what the standard library gives."""
    assert derived_id(*parts) == str(uuid.uuid5(uuid.UUID(bytes=_NAMESPACE), "\x1f".join(parts)))


@given(st.uuids())
def test_bytes_and_text_are_the_same_id(value: uuid.UUID) -> None:
    assert id_bytes(str(value)) == value.bytes
    assert id_text(value.bytes) == str(value)


def test_ids_stay_as_they_are() -> None:
    """Stored points are found by them: they never change."""
    assert memory_id("acme/alice", "D1:3") == "04c183e4-2bb2-59af-b3d2-4b0836964f30"
    assert fact_id("acme/alice", "fact", "x") == "890c56a2-ff94-53b9-a822-1b666c874789"
    assert edge_row_id("acme/alice", "a") == "a62f6ed3-a76e-53cd-9073-4482826ddaa1"
    assert mark_id("acme/alice", "a") == "9d7146f2-cf87-54a5-b9be-e4143f7cb5ae"


def test_the_same_words_in_other_places_are_other_ids() -> None:
    assert derived_id("a", "bc") != derived_id("ab", "c")
    assert memory_id("acme/alice", "m") != memory_id("acme/bob", "m")
    assert edge_row_id("acme/alice", "m") != mark_id("acme/alice", "m")
