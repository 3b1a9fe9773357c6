"""Whether a published JSON Schema may become another one without a new event version.

Readers are upgraded before writers, so a schema may grow wider; whatever was valid must stay valid and mean
the same, and what a reader could count on must stay there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_ANNOTATIONS = frozenset({"$schema", "$id", "$defs", "title", "description", "examples", "default"})
_LEAST = frozenset({"minLength", "minItems", "minProperties", "minimum", "exclusiveMinimum"})
_MOST = frozenset({"maxLength", "maxItems", "maxProperties", "maximum", "exclusiveMaximum"})
_TEXT_RULES = frozenset({"pattern", "format"})
_STRUCTURE = frozenset({"type", "const", "enum", "anyOf", "properties", "required", "items", "additionalProperties"})
_HANDLED = _ANNOTATIONS | _LEAST | _MOST | _TEXT_RULES | _STRUCTURE
_JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


def breaking_changes(old_schema: Schema, new_schema: Schema) -> list[str]:
    """Return what in `new_schema` breaks readers or events of `old_schema`, one sentence each; [] when nothing does.

    Args:
        old_schema: The JSON Schema as it was published; `$ref` may point into itself.
        new_schema: What it is to become.
    """
    return list(_Comparison(old_schema, new_schema).of(old_schema, new_schema, ""))


class _Comparison:
    def __init__(self, old_root: Schema, new_root: Schema) -> None:
        self._old_root = old_root
        self._new_root = new_root
        self._open: set[tuple[int, int]] = set()

    def of(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        """Yield the breaking changes between two schemas at a path, references followed."""
        yield from _defaults(old, new, at)
        yield from self._resolved(_follow(old, self._old_root), _follow(new, self._new_root), at)

    def _resolved(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        old_branches = self._branches(old, self._old_root)
        new_branches = self._branches(new, self._new_root)
        if old_branches is None or new_branches is None:
            if old != new:
                yield _sentence(at, "is described in a way that cannot be compared, and it changed")
            return
        for name, branch in old_branches.items():
            if name in new_branches:
                yield from self._same_type(branch, new_branches[name], at)
            elif name == "integer" and "number" in new_branches:
                yield from self._same_type(branch, new_branches["number"], at)
            elif "any" in new_branches:
                yield from self._same_type(branch, new_branches["any"], at)
            else:
                wanted = " or ".join(sorted(new_branches))
                yield _sentence(at, f"may no longer be of type {name}; it must be {wanted}")

    def _branches(self, schema: Schema, root: Schema) -> dict[str, Schema] | None:
        """Return the schema of each JSON type that is allowed, or None where one type has several."""
        branches: dict[str, Schema] = {}
        for alternative in schema.get("anyOf", [schema]):
            branch = _follow(alternative, root)
            for name in _types(branch):
                if name in branches or "anyOf" in branch:
                    return None
                branches[name] = branch
        return branches

    def _same_type(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        pair = (id(old), id(new))
        if pair in self._open:
            return  # a type that contains itself
        self._open.add(pair)
        yield from _values(old, new, at)
        yield from _limits(old, new, at)
        for keyword in sorted((old.keys() | new.keys()) - _HANDLED):
            if old.get(keyword) != new.get(keyword):
                yield _sentence(at, f"changed its `{keyword}`, which cannot be compared")
        yield from self._fields(old, new, at)
        for keyword, inside in (("items", "[]"), ("additionalProperties", "[*]")):
            yield from self._inside(old.get(keyword, True), new.get(keyword, True), at + inside)
        self._open.discard(pair)

    def _fields(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        old_fields, new_fields = old.get("properties", {}), new.get("properties", {})
        old_required, new_required = set(old.get("required", ())), set(new.get("required", ()))
        for name, schema in old_fields.items():
            inside = f"{at}.{name}".lstrip(".")
            if name not in new_fields:
                yield _sentence(inside, "was removed")
            else:
                yield from self.of(schema, new_fields[name], inside)
        for name in sorted(new_required - old_required):
            yield _sentence(f"{at}.{name}".lstrip("."), "is required and was not")
        for name in sorted((old_required - new_required) & new_fields.keys()):
            yield _sentence(f"{at}.{name}".lstrip("."), "is no longer required, and readers count on it")

    def _inside(self, old: Schema | bool, new: Schema | bool, at: str) -> Iterator[str]:  # noqa: FBT001 - JSON Schema's own booleans
        if new is True or old is False:
            return
        if new is False:
            yield _sentence(at, "is no longer allowed")
        elif old is True:
            yield _sentence(at, "has rules now and had none")
        else:
            yield from self.of(old, new, at)


def _sentence(at: str, what: str) -> str:
    return f"{at or 'the event'} {what}"


def _follow(schema: Schema, root: Schema) -> Schema:
    while (reference := schema.get("$ref")) is not None:
        target: Any = root
        for part in str(reference).removeprefix("#/").split("/"):
            target = target[part]
        schema = target
    return schema


def _types(schema: Schema) -> list[str]:
    if "type" in schema:
        declared = schema["type"]
        return list(declared) if isinstance(declared, list) else [declared]
    values = _allowed(schema)
    return ["any"] if values is None else sorted({_JSON_TYPES[type(value)] for value in values})


def _allowed(schema: Schema) -> list[Any] | None:
    """Return the values that an enumeration or constant allows, or None when any is."""
    if "const" in schema:
        return [schema["const"]]
    values: list[Any] | None = schema.get("enum")
    return values


def _defaults(old: Schema, new: Schema, at: str) -> Iterator[str]:
    if "default" in old and old["default"] != new.get("default", ...):
        yield _sentence(at, "has another default: an event without it would change its meaning")


def _values(old: Schema, new: Schema, at: str) -> Iterator[str]:
    new_values, old_values = _allowed(new), _allowed(old)
    if new_values is None:
        return
    if old_values is None:
        yield _sentence(at, f"may only be one of {new_values} and could be anything")
        return
    for value in old_values:
        if value not in new_values:
            yield _sentence(at, f"may no longer be {value!r}")


def _limits(old: Schema, new: Schema, at: str) -> Iterator[str]:
    for keyword in sorted(_LEAST & new.keys()):
        if keyword not in old or new[keyword] > old[keyword]:
            yield _sentence(at, f"has a narrower `{keyword}`: {new[keyword]} instead of {old.get(keyword, 'none')}")
    for keyword in sorted(_MOST & new.keys()):
        if keyword not in old or new[keyword] < old[keyword]:
            yield _sentence(at, f"has a narrower `{keyword}`: {new[keyword]} instead of {old.get(keyword, 'none')}")
    for keyword in sorted(_TEXT_RULES & new.keys()):
        if new[keyword] != old.get(keyword):
            yield _sentence(at, f"has another `{keyword}`")
