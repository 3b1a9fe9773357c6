"""What is wrong with an event, in words for a stranger: the texts of msgspec and orjson, translated."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import orjson

from helamem.schemas.errors import Poison

_PARTS = re.compile(r"(?P<reason>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>[^`]*)`)?", re.DOTALL)
_RANGE = re.compile(r"Expected `(?P<what>\w+)[^`]*` (?P<length>of length )?(?P<sign>[<>]=?|==) (?P<number>\S+)")
_KINDS = {
    "array": "a list",
    "bool": "true or false",
    "datetime": "a time",
    "float": "a number",
    "int": "a whole number",
    "null": "null",
    "object": "an object",
    "str": "a string",
}
_SIGNS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than", "==": "exactly"}
_PATTERNS = {
    "^[0-9a-f]{8}-": "must be a UUID in lower case, like 0190c0de-1111-4222-8333-444455556666",
    "^[0-9a-f]{64}": "must be a SHA-256 in hexadecimal: 64 digits, letters in lower case",
    "^[0-9a-f]{2}-": "must be a W3C trace context: version, trace id, parent id and flags",
    "^(facts|": "must be facts, hubs, user, agent or speaker:NAME",
    "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$": "must be a tenant, of ASCII letters and digits and of . _ -",
    "^[A-Za-z0-9]": "must be `tenant/name`, of ASCII letters and digits and of . _ - (after the slash also : and @)",
}
"""By how the pattern begins."""
_TIMES = {
    "RFC3339": "is not a time; write it like 2025-03-01T09:00:00Z",
    "timezone": "has no zone; write it like 2025-03-01T09:00:00Z",
}
"""By a word of msgspec's sentence."""
_TYPE = re.compile(r"[a-z-]{1,40}(\.[a-z-]{1,40}){1,3}\.v[0-9]{1,4}")
"""What an event type looks like, so that one of a later version can be told."""


def invalid(error: msgspec.ValidationError, at: str) -> Poison:
    """Return what a failed conversion of the value at `at` (empty for the whole event) means."""
    parts = _PARTS.fullmatch(str(error))
    assert parts is not None
    reason, path = parts["reason"], parts["path"] or ""
    if reason.startswith("Object missing required field"):
        path += "." + reason.split("`")[1]
        return Poison("is missing", (at + path).lstrip("."))
    sentence = _sentence(reason)
    if parts["key"]:
        sentence = f"one of its keys {sentence}"
    field = (at + path).lstrip(".")
    return Poison(sentence, field) if field else Poison(f"the event {sentence}")


def not_json(raw: bytes, error: orjson.JSONDecodeError) -> Poison:
    """Return why `raw` could not be parsed."""
    try:
        raw.decode()
    except UnicodeDecodeError as where:
        return Poison(f"the event is not valid UTF-8, from byte {where.start} on")
    if not raw.strip():
        return Poison("the event is empty")
    return Poison(f"the event is not JSON: {error}")


def surrogate_field(value: Any, path: str = "") -> str | None:
    """Return the path of the first string that is no Unicode text, or None.

    Python strings can hold half of a surrogate pair; UTF-8, and so JSON, cannot.
    """
    if isinstance(value, str):
        return path if any("\ud800" <= character <= "\udfff" for character in value) else None
    if isinstance(value, dict):
        inside = [(f"{path}.{key}" if path else str(key), item) for key, item in value.items()]
        inside += [(path, key) for key in value]
    elif isinstance(value, list | tuple):
        inside = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    else:
        return None
    return next((found for where, item in inside if (found := surrogate_field(item, where)) is not None), None)


def named(type_string: str) -> str:
    """Return the name of a type quoted, and else what is none: a complaint is no place for content."""
    return f"'{type_string}'" if _TYPE.fullmatch(type_string) else "this"


def _sentence(reason: str) -> str:
    for words, sentence in _TIMES.items():
        if words in reason:
            return sentence
    if reason.startswith("Invalid enum value '"):
        return "is not one of the values allowed here"
    if " matching regex " in reason:
        pattern = reason.partition(" matching regex ")[2][1:]
        return next(
            (words for beginning, words in _PATTERNS.items() if pattern.startswith(beginning)),
            f"must match {pattern[:-1]}",
        )
    if limit := _RANGE.fullmatch(reason):
        return _limit(limit)
    expected, _, got = reason.removeprefix("Expected ").partition(", got ")
    if got:
        kinds = " or ".join(_KINDS.get(name, name) for name in expected.strip("`").split(" | "))
        name = got.strip("`")
        return f"must be {kinds}, not {_KINDS.get(name, name)}"
    return reason[0].lower() + reason[1:]


def _limit(limit: re.Match[str]) -> str:
    sign, number = _SIGNS[limit["sign"]], limit["number"]
    if not limit["length"]:
        return f"must be {sign} {number}"
    if (sign, number) == ("at least", "1"):
        return "must not be empty"
    return f"must have {sign} {int(number):,} {'characters' if limit['what'] == 'str' else 'entries'}"
