"""What is packed in a payload comes back; what another version packed is nobody's fault but the store's."""

from __future__ import annotations

import pytest

from helamem.processors.store.payload import PACKED, SPACE, fact_of, mark_of, row_of, turn_of
from helamem.schemas.errors import ConfigurationError

SENTENCE = "the store holds what this version does not read .* rebuild it from the log"


@pytest.mark.parametrize("packed", [{}, {PACKED: '["m1","c"]'}, {PACKED: "{"}, {PACKED: "a"}])
def test_what_another_version_packed_stops_and_puts_nothing_aside(packed: dict[str, str]) -> None:
    """It is no `Poison`: the record that made somebody look is a good one."""
    payload = {SPACE: "acme/anna"} | packed
    for read in (lambda: turn_of("i", payload), lambda: fact_of("i", payload), lambda: mark_of(payload)):
        with pytest.raises(ConfigurationError, match=SENTENCE):
            read()


@pytest.mark.parametrize("packed", [{}, {PACKED: "a"}])
def test_so_it_is_with_edges(packed: dict[str, str]) -> None:
    """Theirs is base64, of whole bytes."""
    with pytest.raises(ConfigurationError, match=SENTENCE):
        row_of({SPACE: "acme/anna"} | packed)
