"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

_PACKAGES = ("helamem", "qdrant-edge-py", "wordllama", "numpy", "msgspec", "orjson")


def machine() -> dict[str, Any]:
    """Return processor, cores, memory, versions and load, without anything that names the machine."""
    return {
        "cpu": _field("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
        "commit": _commit(),
        "load_average_before": [round(load, 2) for load in os.getloadavg()],
    }


def _field(file: str, name: str) -> str | None:
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), None)


def _commit() -> str | None:
    """Return the commit that is checked out, marked where the tree differs from it."""
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty"],  # noqa: S607 - git is found by its name everywhere
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parent,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.stdout.strip()
