"""The library: a memory in a directory of this machine.

    from helamem.streams.embedded import Memory, Message

    with Memory.open("home") as memory:
        memory.append([Message(space="acme/mira", conversation="1", speaker="Mira", text="I moved to Bergen.")])
        memory.process()
        for hit in memory.recall("acme/mira", "Where does Mira live?").hits:
            print(hit.text)

`AsyncMemory` has the same methods as coroutines.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from functools import update_wrapper
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from helamem.processors.forgetting.policy import Choice, Forgettable
from helamem.processors.profile.profile import Profile
from helamem.processors.recall.hits import Hit
from helamem.schemas.settings import ForgettingPolicy
from helamem.streams.async_memory import AsyncMemory, Message, Recalled
from helamem.streams.forgetting.decision import Decision

__all__ = [
    "AsyncMemory",
    "Choice",
    "Decision",
    "Forgettable",
    "ForgettingPolicy",
    "Hit",
    "Memory",
    "Message",
    "Profile",
    "Recalled",
]

P = ParamSpec("P")
T = TypeVar("T")


def _waiting(
    method: Callable[Concatenate[AsyncMemory, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Memory, P], T]:
    """Return a method of `Memory` that waits for the coroutine of the same method of `AsyncMemory`."""

    def call(self: Memory, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._wait(method(self._memory, *args, **kwargs))

    return update_wrapper(call, method)


def _opening(
    opening: Callable[P, Coroutine[Any, Any, AsyncMemory]],
) -> Callable[Concatenate[type[Memory], P], Memory]:
    """Return a class method of `Memory` that has the coroutine of `AsyncMemory.open` run in a thread of its own."""

    def call(cls: type[Memory], /, *args: P.args, **kwargs: P.kwargs) -> Memory:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="helamem", daemon=True)
        thread.start()
        try:
            memory = asyncio.run_coroutine_threadsafe(opening(*args, **kwargs), loop).result()
        except BaseException:
            _end(loop, thread)
            raise
        return cls(memory, loop, thread)

    return update_wrapper(call, AsyncMemory.__dict__["open"].__func__)


class Memory:
    """The same as `AsyncMemory` without async: it runs one in a thread of its own. A context manager."""

    def __init__(self, memory: AsyncMemory, loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
        self._memory = memory
        self._loop = loop
        self._thread = thread

    open = classmethod(_opening(AsyncMemory.open))
    append = _waiting(AsyncMemory.append)
    process = _waiting(AsyncMemory.process)
    recall = _waiting(AsyncMemory.recall)
    reinforce = _waiting(AsyncMemory.reinforce)
    profile = _waiting(AsyncMemory.profile)
    facts = _waiting(AsyncMemory.facts)
    edges = _waiting(AsyncMemory.edges)
    turns = _waiting(AsyncMemory.turns)
    memories = _waiting(AsyncMemory.memories)
    spaces = _waiting(AsyncMemory.spaces)
    digest = _waiting(AsyncMemory.digest)
    forgettable = _waiting(AsyncMemory.forgettable)
    forget_chosen = _waiting(AsyncMemory.forget_chosen)
    forget = _waiting(AsyncMemory.forget)
    restore = _waiting(AsyncMemory.restore)
    restore_run = _waiting(AsyncMemory.restore_run)

    def close(self) -> None:
        """Release the home; a second call does nothing."""
        if not self._loop.is_closed():
            self._wait(self._memory.close())
            _end(self._loop, self._thread)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
