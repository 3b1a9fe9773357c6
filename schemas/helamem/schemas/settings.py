"""The settings that a fold reads besides records; they travel in the log as `settings.applied`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

LOGIC_VERSION = 1
"""Number of the rules that turn records into state; changed behaviour gets a new number."""

_MAX_INTEGER = 2**53 - 1
Rate = Annotated[float, Meta(ge=0.0, le=1.0)]


class EncodingSettings(Struct, frozen=True, kw_only=True):
    """How messages become memories."""

    embedder: Annotated[str, Meta(min_length=1, max_length=256)] = "wordllama:l2_supercat_256"
    """Name and version of the embedder, as it reports itself."""
    language: Annotated[str, Meta(min_length=1, max_length=32)] = "english"
    """Language of the keyword index: stemming and stop words."""


class HebbianSettings(Struct, frozen=True, kw_only=True):
    """How recalls strengthen edges (HeLa-Mem, section 3.2, with the departures of docs/model.md)."""

    eta_recalled: Rate = 0.001
    """Weight that a pair gains when it is recalled together."""
    eta_reinforced: Rate = 0.1
    """Weight that a pair gains when an agent says that it used both; the paper has one η of 0.02 for every recall."""
    half_life_s: Annotated[int, Meta(ge=1024, le=_MAX_INTEGER)] = 30 * 86_400
    """Seconds of event time in which an untouched weight halves."""
    neighbours: Annotated[int, Meta(ge=2, le=256)] = 32
    """How many learned edges a memory keeps."""
    newcomers: Annotated[int, Meta(ge=1, le=256)] = 4
    """How many edges one event may replace in a full list."""
    hub_strength: Annotated[float, Meta(gt=0.0, le=256.0)] = 0.5
    """Sum of learned weights at which a memory becomes a hub (δ of the paper)."""
    hub_degree: Annotated[int, Meta(ge=1, le=256)] = 3
    """Fewest neighbours of a hub."""
    hub_cluster: Annotated[int, Meta(ge=2, le=64)] = 8
    """Largest cluster handed to consolidation, the hub included."""
    hub_rest_s: Annotated[int, Meta(ge=1, le=_MAX_INTEGER)] = 30 * 86_400
    """Seconds of event time before the same memory may form a hub again."""


class Settings(Struct, frozen=True, kw_only=True):
    """Everything besides records that decides what a log becomes."""

    logic_version: Annotated[int, Meta(ge=1, le=_MAX_INTEGER)] = LOGIC_VERSION
    encoding: EncodingSettings = EncodingSettings()
    hebbian: HebbianSettings = HebbianSettings()
