"""Hypothesis strategies for events, built from the types themselves: a new field is covered when it is added."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from helamem.schemas.events import EVENT_TYPES, EventData, Name
from helamem.schemas.times import MAX_MS
from helamem.schemas.wire import Event, Space, TraceParent

_LONGEST = 40
"""Texts and lists are drawn up to this length; the limits themselves have tests of their own."""
_MOST_ENTRIES = 5
_LEAST_INT, _MOST_INT = -(2**63), 2**63 - 1


def of_type(info: inspect.Type) -> st.SearchStrategy[Any]:
    """Return values of a msgspec type within all its limits."""
    return _STRATEGIES[type(info)](info)


def _text(info: inspect.StrType) -> st.SearchStrategy[str]:
    if info.pattern:
        inner = info.pattern.removeprefix("^").removesuffix(r"(?!\n)").removesuffix("$")
        return st.from_regex(inner, fullmatch=True, alphabet=st.characters(codec="utf-8"))
    return st.text(min_size=info.min_length or 0, max_size=min(info.max_length or _LONGEST, _LONGEST))


def _integer(info: inspect.IntType) -> st.SearchStrategy[int]:
    return st.integers(_LEAST_INT if info.ge is None else info.ge, _MOST_INT if info.le is None else info.le)


def _float(info: inspect.FloatType) -> st.SearchStrategy[float]:
    least = info.ge if info.gt is None else info.gt
    return st.floats(least, info.le, exclude_min=info.gt is not None, allow_nan=False, allow_infinity=False)


def _tuple(info: inspect.VarTupleType) -> st.SearchStrategy[tuple[Any, ...]]:
    most = min(info.max_length or _MOST_ENTRIES, _MOST_ENTRIES)
    return st.lists(of_type(info.item_type), min_size=info.min_length or 0, max_size=most).map(tuple)


def _dict(info: inspect.DictType) -> st.SearchStrategy[dict[Any, Any]]:
    return st.dictionaries(of_type(info.key_type), of_type(info.value_type), max_size=_MOST_ENTRIES)


def _struct(info: inspect.StructType) -> st.SearchStrategy[Any]:
    return st.builds(info.cls, **{field.name: of_type(field.type) for field in info.fields})


_STRATEGIES: dict[type[inspect.Type], Callable[[Any], st.SearchStrategy[Any]]] = {
    inspect.BoolType: lambda _: st.booleans(),
    inspect.DictType: _dict,
    inspect.FloatType: _float,
    inspect.IntType: _integer,
    inspect.LiteralType: lambda info: st.sampled_from(info.values),
    inspect.Metadata: lambda info: of_type(info.type),
    inspect.NoneType: lambda _: st.none(),
    inspect.StrType: _text,
    inspect.StructType: _struct,
    inspect.UnionType: lambda info: st.one_of([of_type(alternative) for alternative in info.types]),
    inspect.VarTupleType: _tuple,
}
"""A type that is missing here fails with its name: add it."""


def data_of(data_type: type[EventData]) -> st.SearchStrategy[EventData]:
    """Return event data of one type."""
    return of_type(msgspec.inspect.type_info(data_type))


def events(data_type: type[EventData] | None = None) -> st.SearchStrategy[Event]:
    """Return whole events, of one type or of any."""
    data_types = EVENT_TYPES.values() if data_type is None else [data_type]
    name, space, traceparent = (of_type(msgspec.inspect.type_info(kind)) for kind in (Name, Space, TraceParent))
    return st.builds(
        Event,
        id=name,
        source=name,
        space=space,
        time_ms=st.integers(0, MAX_MS),
        data=st.one_of([data_of(each) for each in data_types]),
        traceparent=st.none() | traceparent,
    )
