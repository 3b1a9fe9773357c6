"""What breaks a published schema, and what does not."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from helamem.schemas.compatibility import breaking_changes
from helamem.schemas.events import EVENT_TYPES, EventData
from helamem.schemas.generate import json_schema

OLD: dict[str, Any] = {
    "$ref": "#/$defs/Thing",
    "$defs": {
        "Thing": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 10, "pattern": "^a", "format": "uri"},
                "size": {"type": "integer", "minimum": 0, "maximum": 9, "default": 3},
                "rate": {"type": "number", "exclusiveMinimum": 0.0},
                "kind": {"enum": ["cat", "dog"]},
                "version": {"const": "1"},
                "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
                "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 5},
                "free": {"type": "array"},
                "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
                "inner": {"$ref": "#/$defs/Inner"},
                "parent": {"anyOf": [{"$ref": "#/$defs/Thing"}, {"type": "null"}]},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Thing"}},
            },
            "required": ["name", "kind"],
        },
        "Inner": {"type": "object", "properties": {"a": {"type": "string"}}, "required": []},
    },
}
MISSING = object()


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the schema with one place changed, or removed."""
    new = copy.deepcopy(OLD)
    place: Any = new["$defs"]
    *parents, last = path.split("/")
    for part in parents:
        place = place[part]
    if value is MISSING:
        del place[last]
    else:
        place[last] = value
    return new


NAME, SIZE, TAGS = "Thing/properties/name/", "Thing/properties/size/", "Thing/properties/tags/"


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("Thing/properties/size", MISSING, "size was removed"),
        ("Inner/properties/a", MISSING, "inner.a was removed"),
        ("Thing/required", ["name", "kind", "size"], "size is required and was not"),
        ("Inner/required", ["b"], "inner.b is required and was not"),
        ("Thing/required", ["name"], "kind is no longer required, and readers count on it"),
        (NAME + "type", "integer", "name may no longer be of type string; it must be integer"),
        ("Thing/properties/rate/type", "integer", "rate may no longer be of type number; it must be integer"),
        ("Thing/properties/note", {"type": "string", "default": None}, "note may no longer be of type null"),
        (NAME + "minLength", 2, "name has a narrower `minLength`: 2 instead of 1"),
        (NAME + "maxLength", 9, "name has a narrower `maxLength`: 9 instead of 10"),
        (NAME + "pattern", "^b", "name has another `pattern`"),
        (NAME + "format", "date", "name has another `format`"),
        ("Inner/properties/a/pattern", "x", "inner.a has another `pattern`"),
        ("Inner/properties/a/minLength", 1, "inner.a has a narrower `minLength`: 1 instead of none"),
        (SIZE + "minimum", 1, "size has a narrower `minimum`: 1 instead of 0"),
        (SIZE + "maximum", 8, "size has a narrower `maximum`: 8 instead of 9"),
        (SIZE + "exclusiveMaximum", 9, "size has a narrower `exclusiveMaximum`: 9 instead of none"),
        ("Thing/properties/rate/exclusiveMinimum", 0.5, "rate has a narrower `exclusiveMinimum`: 0.5 instead of 0.0"),
        (SIZE + "default", 4, "size has another default: an event without it would change its meaning"),
        (SIZE + "default", MISSING, "size has another default: an event without it would change its meaning"),
        (SIZE + "multipleOf", 2, "size changed its `multipleOf`, which cannot be compared"),
        ("Thing/properties/kind/enum", ["cat"], "kind may no longer be 'dog'"),
        ("Inner/properties/a/enum", ["x"], "inner.a may only be one of ['x'] and could be anything"),
        ("Thing/properties/version/const", "2", "version may no longer be '1'"),
        (TAGS + "maxItems", 4, "tags has a narrower `maxItems`: 4 instead of 5"),
        (TAGS + "items/type", "integer", "tags[] may no longer be of type string; it must be integer"),
        ("Thing/properties/free/items", {"type": "string"}, "free[] has rules now and had none"),
        ("Thing/properties/counts/additionalProperties", False, "counts[*] is no longer allowed"),
        (
            "Thing/properties/counts/additionalProperties/type",
            "string",
            "counts[*] may no longer be of type integer; it must be string",
        ),
        ("Thing/additionalProperties", False, "[*] is no longer allowed"),
        (
            "Inner/properties/a",
            {"anyOf": [{"type": "string"}, {"type": "string", "maxLength": 1}]},
            "inner.a is described in a way that cannot be compared, and it changed",
        ),
    ],
)
def test_breaking(path: str, value: Any, sentence: str) -> None:
    found = breaking_changes(OLD, changed(path, value))
    assert len(found) == 1
    assert found[0].startswith(sentence)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("Thing/title", "Another"),
        (NAME + "description", "Another."),
        ("Thing/properties/added", {"type": "string", "default": ""}),
        (NAME + "maxLength", 11),
        (NAME + "minLength", MISSING),
        (NAME + "pattern", MISSING),
        (SIZE + "type", "number"),
        (SIZE + "maximum", 10),
        ("Thing/properties/rate/exclusiveMinimum", -1.0),
        ("Thing/properties/kind/enum", ["bird", "cat", "dog"]),
        ("Thing/properties/kind", {"type": "string"}),
        ("Thing/properties/version", {}),
        ("Thing/properties/size/type", ["integer", "null"]),
        ("Inner/properties/a", {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (TAGS + "items", MISSING),
        ("Thing/properties/counts/additionalProperties", True),
    ],
)
def test_not_breaking(path: str, value: Any) -> None:
    assert breaking_changes(OLD, changed(path, value)) == []


def test_several_changes_are_all_listed() -> None:
    new = changed("Thing/required", ["name", "kind", "size"])
    del new["$defs"]["Inner"]["properties"]["a"]
    assert breaking_changes(OLD, new) == ["inner.a was removed", "size is required and was not"]


@pytest.mark.parametrize("data_type", EVENT_TYPES.values(), ids=lambda data_type: data_type.event_type)
def test_nothing_breaks_itself(data_type: type[EventData]) -> None:
    assert breaking_changes(json_schema(data_type), json_schema(data_type)) == []


def test_a_change_deep_in_an_event_is_found() -> None:
    old = json_schema(EVENT_TYPES["memory.recalled.v1"])
    new = copy.deepcopy(old)
    new["$defs"]["RecalledResult"]["properties"]["kind"]["enum"].remove("fact")
    assert breaking_changes(old, new) == ["data.results[].kind may no longer be 'fact'"]
