"""Upcasters: what turns the data of an old event version into the next one, when it is read.

Every version that was ever published stays readable. A new version of a type adds one function here and
golden bytes of the old one beside the tests; stored records are never rewritten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Upcaster = Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]
"""Takes the data of one version; returns the next version's type string and its data."""

UPCASTERS: dict[str, Upcaster] = {}
"""By old type string. All types are in their first version, so there is none yet."""
