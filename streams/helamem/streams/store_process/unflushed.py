"""What a client wrote and the store process has not yet made durable.

A killed process leaves its writes in the engine's own log and in the page cache of the kernel, where the next one
finds them. The promise of `flush` shall not rest on that: the client keeps what it wrote, and gives it to the next
process again. Writes are inserted where absent or conditional on positions, so it does no harm where it was there.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Raw, Struct


class Sent(Struct, kw_only=True, eq=False):
    """One `Write` or `Insert` call."""

    call: Raw
    process: str
    """Whom it was given to last."""
    answered: bool = False


class Unflushed:
    """Calls in the order in which they were sent."""

    def __init__(self) -> None:
        self._sent: dict[int, Sent] = {}
        self.size_bytes = 0

    def add(self, call: Raw, process: str) -> Sent:
        """Keep a call, also before it is answered: the process may end just after the answer."""
        sent = Sent(call=call, process=process)
        self._sent[id(sent)] = sent
        self.size_bytes += len(call)
        return sent

    def remove(self, calls: Iterable[Sent]) -> None:
        """Keep these no longer: they are durable, or whoever gave them knows that they failed."""
        for sent in calls:
            if self._sent.pop(id(sent), None) is not None:
                self.size_bytes -= len(sent.call)

    def answered(self) -> list[Sent]:
        """Return the calls that a flush which is asked for now will cover."""
        return [sent for sent in self._sent.values() if sent.answered]

    def strange_to(self, process: str) -> list[Sent]:
        """Return the calls that this process has not seen."""
        return [sent for sent in self._sent.values() if sent.process != process]
