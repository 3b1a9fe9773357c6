"""The house: one namespace over three roots, and imports only along the arrows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PORTIONS = ("schemas", "processors", "streams")


@pytest.mark.parametrize("portion", PORTIONS)
def test_the_namespace_has_no_init(portion: str) -> None:
    """With an `__init__.py` in one root the other two would be hidden."""
    assert not (ROOT / portion / "helamem" / "__init__.py").exists()


@pytest.mark.parametrize(("portion", "package"), [*zip(PORTIONS, PORTIONS, strict=True), ("streams", "client")])
def test_each_package_says_that_it_is_typed(portion: str, package: str) -> None:
    assert (ROOT / portion / "helamem" / package / "py.typed").is_file()


def test_imports_follow_the_arrows() -> None:
    """The contracts of `[tool.importlinter]` hold."""
    command = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
