"""The settings that a fold reads besides records; they travel in the log as `settings.applied`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

LOGIC_VERSION = 1
"""Number of the rules that turn records into state; changed behaviour gets a new number."""

_MAX_INTEGER = 2**53 - 1
_MAX_DAYS = 36_525
Protected = Annotated[str, Meta(pattern=r"^(facts|hubs|user|agent|speaker:[^\x00-\x1f]+)$(?!\n)", max_length=264)]
"""A kind of memories that are never forgotten."""
Tenant = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$(?!\n)", max_length=64)]
"""The part of a space's name before the slash."""
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


class ForgettingPolicy(Struct, frozen=True, kw_only=True):
    """What a space forgets: what is weak AND old AND not recalled lately; then the least used beyond a budget.

    Nothing is forgotten that is of a protected kind.
    """

    weaker_than: Annotated[float, Meta(ge=0.0, le=256.0)] = 0.02
    """Sum of its learned weights now, each a fraction of the cap."""
    older_than_days: Annotated[int, Meta(ge=0, le=_MAX_DAYS)] = 180
    """Event time since it was said."""
    not_recalled_for_days: Annotated[int, Meta(ge=0, le=_MAX_DAYS)] = 90
    """Event time since a recall returned it or a fact whose words are from it, or an agent said that it used it."""
    protected: Annotated[tuple[Protected, ...], Meta(max_length=64)] = ("facts", "hubs")
    """facts: what the words of a fact that holds are from. hubs: what ever formed a hub. user, agent: what such a
    speaker said. speaker:NAME: what this one said."""
    budget: Annotated[int, Meta(ge=1, le=_MAX_INTEGER)] | None = None
    """Most memories that a space keeps, the most used ones; None is no bound. Protected ones count, and all stay."""
    every_days: Annotated[int, Meta(ge=1, le=_MAX_DAYS)] | None = None
    """Event time after which `helamem run` or `up` applies the policy by itself; None is never."""


class Settings(Struct, frozen=True, kw_only=True):
    """Everything besides records that decides what a log becomes."""

    logic_version: Annotated[int, Meta(ge=1, le=_MAX_INTEGER)] = LOGIC_VERSION
    encoding: EncodingSettings = EncodingSettings()
    hebbian: HebbianSettings = HebbianSettings()
    forgetting: ForgettingPolicy = ForgettingPolicy()
    """Of tenants that have no policy of their own."""
    forgetting_of: dict[Tenant, ForgettingPolicy] = {}
    """By tenant; a policy stands there as a whole."""

    def policy(self, tenant: str) -> ForgettingPolicy:
        """Return what the spaces of a tenant forget."""
        return self.forgetting_of.get(tenant, self.forgetting)
