"""What all tests share: patience, and data that stands outside the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes is no test of anything here, and machines are busy.
settings.register_profile("helamem", deadline=None)
settings.load_profile("helamem")

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
