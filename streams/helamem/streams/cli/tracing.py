"""Traces of a command, where the environment asks for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Literal

from helamem.schemas.errors import BadInput
from helamem.streams.tracing.untraced import UNTRACED, Untraced

SWITCH = "HELAMEM_TRACES"
VALUES = ("off", "otlp")


@contextmanager
def tracing(system: Literal["kafka", "sqlite"], wanted: str | None = None) -> Iterator[Untraced]:
    """Have what is done inside traced, and send what is left at the end.

    Args:
        system: Which log is worked on.
        wanted: `off` or `otlp`; None asks HELAMEM_TRACES.

    Raises:
        BadInput: It is neither, or OpenTelemetry is not installed.
    """
    wanted = os.environ.get(SWITCH, VALUES[0]) if wanted is None else wanted
    if wanted not in VALUES:
        raise BadInput(f"{SWITCH} is {wanted!r}; it must be {' or '.join(VALUES)}")
    if wanted == "off":
        yield UNTRACED
        return
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter") is None:
        raise BadInput(f"{SWITCH}=otlp needs OpenTelemetry; install it with: pip install 'helamem[otel]'")
    from helamem.streams.tracing.otel import Tracing  # noqa: PLC0415 - only where it is installed

    traced = Tracing(system)
    try:
        yield traced
    finally:
        traced.close()
