"""The memory of a process, as the kernel counts it."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self


def process_memory(process: int | str = "self") -> dict[str, int]:
    """Return resident and anonymous bytes; mapped files can be dropped at any time, anonymous memory cannot."""
    rollup = Path(f"/proc/{process}/smaps_rollup")
    fields = (line.split() for line in rollup.read_text(encoding="ascii").splitlines()[1:])
    sizes = {field[0]: int(field[1]) * 1024 for field in fields}
    return {"resident_bytes": sizes["Rss:"], "anonymous_bytes": sizes["Anonymous:"]}


class Peak:
    """Looks at the memory a few times a second while it is open, and keeps the largest figures."""

    def __init__(self, every_s: float = 0.25) -> None:
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak", daemon=True)
        self.largest = process_memory()

    def look(self) -> dict[str, int]:
        """Return the memory now."""
        now = process_memory()
        self.largest = {name: max(size, now[name]) for name, size in self.largest.items()}
        return now

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(self._every_s):
            self.look()
