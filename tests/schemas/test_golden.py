"""Frozen bytes of every event version ever published, and the schemas as they were published."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from helamem.schemas.compatibility import breaking_changes
from helamem.schemas.events import EVENT_TYPES
from helamem.schemas.generate import json_schema
from helamem.schemas.upcast import UPCASTERS
from helamem.schemas.wire import decode, encode
from schemas.golden_events import EXPECTED, GOLDEN

EVENTS = sorted((GOLDEN / "events").glob("*.json"))
SCHEMAS = sorted((GOLDEN / "schemas").glob("*.schema.json"))


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: path.stem)
def test_golden_bytes_are_read_as_ever(path: Path) -> None:
    assert decode(path.read_bytes()) == EXPECTED[path.stem]


@pytest.mark.parametrize("path", [path for path in EVENTS if path.stem in EVENT_TYPES], ids=lambda path: path.stem)
def test_current_versions_are_written_byte_for_byte(path: Path) -> None:
    golden = path.read_bytes()
    assert encode(decode(golden)) == golden


def test_every_version_has_its_golden_files() -> None:
    """New versions are added, old ones stay: run `python tests/schemas/golden_events.py` for a new one."""
    stems = {path.stem for path in EVENTS}
    assert stems == EXPECTED.keys()
    assert stems == {path.name.removesuffix(".schema.json") for path in SCHEMAS}
    assert stems >= EVENT_TYPES.keys()
    assert stems - EVENT_TYPES.keys() <= UPCASTERS.keys()


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_a_published_version_is_not_broken(path: Path) -> None:
    """A change in this list needs a new event version and an upcaster."""
    published = orjson.loads(path.read_bytes())
    type_string = published["properties"]["type"]["const"]
    if type_string in EVENT_TYPES:
        assert breaking_changes(published, json_schema(EVENT_TYPES[type_string])) == []
