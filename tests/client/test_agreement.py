"""Client and gateway agree, and the client takes nothing of what a gateway takes."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest

from helamem.client import Message, answers
from helamem.streams.gateway.app import build_api
from helamem.streams.gateway.openapi import describe

HEAVY = "numpy qdrant_client qdrant_edge aiokafka faust cryptography pydantic fastapi starlette orjson wordllama typer"
SAME = {
    "Appended": "AppendedOut",
    "BatchAppended": "BatchAppended",
    "Entry": "EntryOut",
    "Fact": "FactOut",
    "FactsPage": "FactsOut",
    "Hit": "HitOut",
    "Lineage": "LineageOut",
    "Marked": "MarkedOut",
    "MemoriesPage": "MemoriesOut",
    "Memory": "MemoryOut",
    "Neighbour": "NeighbourOut",
    "Neighbours": "NeighboursOut",
    "Person": "PersonOut",
    "Position": "PositionOut",
    "ProblemBody": "ProblemOut",
    "ProblemField": "ProblemField",
    "Profile": "ProfileOut",
    "Recalled": "RecallOut",
    "Recalls": "RecallsOut",
    "Reinforced": "ReinforcedOut",
    "SpaceSize": "SpaceOut",
    "SpacesPage": "SpacesOut",
}


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    found: dict[str, Any] = describe(build_api())["components"]["schemas"]
    return found


def test_what_is_answered_is_what_is_read(schemas: dict[str, Any]) -> None:
    """Each type of the client has the fields that the gateway's document names; optional are those that may be out."""
    types = {
        name: kind
        for name, kind in vars(answers).items()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind is not msgspec.Struct
    }
    assert set(types) == set(SAME)
    for name, kind in types.items():
        schema = schemas[SAME[name]]
        fields = msgspec.structs.fields(kind)
        assert {field.encode_name for field in fields} == set(schema["properties"]), name
        assert {field.encode_name for field in fields if field.required} <= set(schema["required"]), name


def test_what_is_sent_is_what_is_taken(schemas: dict[str, Any]) -> None:
    fields = {field.name for field in msgspec.structs.fields(Message)} - {"space"}
    assert fields == set(schemas["MessageIn"]["properties"])


def test_the_client_is_light() -> None:
    """In a process of its own, nothing of what stores, logs and gateways are made of comes along."""
    program = "import sys, helamem.client; print('\\n'.join(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint(HEAVY.split())
    ours = {name for name in done.stdout.split() if name.startswith("helamem.")}
    assert {name for name in ours if not name.startswith(("helamem.client", "helamem.schemas"))} == set()


def test_without_its_extra_it_says_what_to_install() -> None:
    program = """
from importlib import util
found = util.find_spec
util.find_spec = lambda name: None if name == "httpx" else found(name)
try:
    import helamem.client
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "helamem.client needs httpx; install it with: pip install 'helamem[client]'\n"
