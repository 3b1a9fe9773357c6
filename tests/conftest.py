"""What all tests share: patience, and data that stands outside the repository."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from helamem.streams import logs

# How long an example takes is no test of anything here, and machines are busy.
settings.register_profile("helamem", deadline=None)
settings.load_profile("helamem")

_BROAD = (
    "client",
    "console",
    "processors/store/test_edge.py",
    "streams/archive",
    "streams/cli",
    "streams/effects",
    "streams/erasure",
    "streams/forgetting",
    "streams/gateway",
    "streams/mcp",
    "streams/snapshots",
    "streams/store_process",
    "streams/test_crash.py",
    "streams/test_replay.py",
    "streams/test_replay_options.py",
)
"""Where tests make whole homes and processes, by path under this folder."""
_BROKERS = {"kafka", "own_kafka"}
"""Fixtures that start brokers."""
_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def locomo_dev() -> Path:
    """Five conversations of LoCoMo, beside the repository since their licence keeps them out of it."""
    path = _DATA / "locomo-dev.json"
    if not path.is_file():
        complaint = "needs ../shared/data/locomo-dev.json beside the repository"
        if os.environ.get("HELAMEM_REQUIRE_DATA"):
            pytest.fail(complaint)
        pytest.skip(complaint)
    return path


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Give back what belongs to the whole process, which a command called in it lets log like a process of its own."""
    names = ("", "helamem", "opentelemetry", *logs._CLIENTS, *logs._SERVICES)
    levels = {name: logging.getLogger(name).level for name in names}
    handlers = [*logging.getLogger().handlers]
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    logging.captureWarnings(capture=False)
    logging.getLogger().handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that the inner loop leaves out, and those that one process runs, whoever else runs beside it."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).as_posix().startswith(_BROAD):
            item.add_marker(pytest.mark.broad)
        if _BROKERS & {*getattr(item, "fixturenames", ())}:
            item.add_marker(pytest.mark.brokers)
            item.add_marker(pytest.mark.xdist_group("brokers"))
