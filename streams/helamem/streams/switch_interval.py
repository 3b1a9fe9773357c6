"""How long a thread may keep the interpreter from others, while an instance follows its log."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SWITCH_INTERVAL_S = 0.0005
"""Python's own is 5 ms. A recall waits for the interpreter after every read, and the pumps' threads always want it."""

_lock = threading.Lock()
_before_s: list[float] = []
"""The interval of the process, once for everyone who has it shorter now; it is the process's and not an instance's."""


@contextmanager
def yielding_sooner() -> Iterator[None]:
    """Have threads give way sooner; when the last who wants that ends, the process has its own interval again."""
    with _lock:
        _before_s.append(_before_s[0] if _before_s else sys.getswitchinterval())
        sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        with _lock:
            before_s = _before_s.pop()
            if not _before_s:
                sys.setswitchinterval(before_s)
