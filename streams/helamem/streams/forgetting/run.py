"""One run of forgetting: its events, and what they hid."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from msgspec import UNSET

from helamem.processors.forgetting.policy import REASONS, Choice, Reason
from helamem.processors.store.port import MemoryStore
from helamem.schemas.errors import BadInput
from helamem.schemas.events import MemoryForgotten, MemoryRestored, SubjectErased
from helamem.schemas.ids import derived_id
from helamem.schemas.records import TopicPartition
from helamem.schemas.settings import ForgettingPolicy, Settings
from helamem.schemas.topics import CONTROL
from helamem.schemas.wire import Event
from helamem.streams.forgetting.decision import Decision, decide
from helamem.streams.ingest.incoming import record_of
from helamem.streams.lineage.reader import LogReader
from helamem.streams.log.port import Log

SOURCE = "helamem/forgetting"
_MOST = 1000
"""Memories that one event names."""


def events_of(decision: Decision, run: str, source: str, traceparent: str | None = None) -> list[Event]:
    """Return the events that put a decision into the log; their time is the moment of the decision.

    Args:
        decision: What goes.
        run: A new UUID, which all of them carry; their ids follow from it, so they may be appended once more.
        source: What writes them.
        traceparent: Of the trace that they belong to.
    """
    return [
        Event(
            id=derived_id("forgotten", run, choice.space, str(number)),
            source=source,
            space=choice.space,
            time_ms=decision.as_of_ms,
            data=MemoryForgotten(memory_ids=ids, reason=_sentence(reason, choice.policy), run=run),
            traceparent=traceparent,
        )
        for choice in decision.choices
        for number, (reason, ids) in enumerate(_parts(choice))
    ]


def _parts(choice: Choice) -> Iterator[tuple[Reason, tuple[str, ...]]]:
    for reason in REASONS:
        ids = [one.memory_id for one in choice.memories if one.reason == reason]
        for start in range(0, len(ids), _MOST):
            yield reason, tuple(ids[start : start + _MOST])


def _sentence(reason: Reason, policy: ForgettingPolicy) -> str:
    if reason == "over-budget":
        return f"over the budget of {policy.budget} memories, and others were used more"
    return (
        f"weaker than {policy.weaker_than}, older than {policy.older_than_days} days, "
        f"not recalled for {policy.not_recalled_for_days} days"
    )


class Forgetting:
    """Decides, carries out and takes back, in whatever store and log.

    Args:
        store: Holds the memories.
        log: Takes the events, and tells when memories were used.
        settings: In force.
        source: What the events say that wrote them.
        new_id: Makes ids of runs and events.
        sending: Spans an append: from topic, spaces and number of records a context of the traceparent, or of None.
    """

    def __init__(
        self,
        store: MemoryStore,
        log: Log,
        settings: Settings,
        *,
        source: str = SOURCE,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        sending: Callable[[str, Collection[str], int], AbstractContextManager[str | None]] = lambda *_: nullcontext(),
    ) -> None:
        self._store = store
        self._log = log
        self._settings = settings
        self._source = source
        self._new_id = new_id
        self._sending = sending

    async def decide(
        self,
        spaces: Sequence[str],
        *,
        as_of_ms: int,
        policy: ForgettingPolicy | None = None,
        uses: Mapping[str, Mapping[str, int]] | None = None,
    ) -> Decision:
        """Return what would be forgotten in some spaces; see `decide`."""
        return await decide(self._store, self._log, self._settings, spaces, as_of_ms=as_of_ms, policy=policy, uses=uses)

    async def carry_out(self, decision: Decision) -> str | None:
        """Append the events of a decision and return the id of this run, or None where nothing goes.

        Raises:
            RetryLater: The log cannot be written now.
        """
        run = derived_id("forgetting", self._new_id())
        spaces = {choice.space for choice in decision.choices if choice.memories}
        if not spaces:
            return None
        records = sum(1 for choice in decision.choices for _ in _parts(choice))
        with self._sending(CONTROL.name, spaces, records) as traceparent:
            await self._log.append([record_of(event) for event in events_of(decision, run, self._source, traceparent)])
        return run

    async def mark(
        self,
        space: str,
        memory_ids: Sequence[str],
        kind: type[MemoryForgotten | MemoryRestored],
        reason: str,
        *,
        time_ms: int,
    ) -> dict[TopicPartition, int]:
        """Append that memories are hidden, or may be recalled again, since somebody named them.

        Returns:
            The offsets (exclusive) up to which the log has to be processed for it to be so.

        Raises:
            RetryLater: The log cannot be written now.
        """
        parts = [tuple(memory_ids[start : start + _MOST]) for start in range(0, len(memory_ids), _MOST)]
        with self._sending(CONTROL.name, {space}, len(parts)) as traceparent:
            events = [
                Event(
                    id=self._new_id(),
                    source=self._source,
                    space=space,
                    time_ms=time_ms,
                    data=kind(memory_ids=part, reason=reason),
                    traceparent=traceparent,
                )
                for part in parts
            ]
            placed = await self._log.append([record_of(event) for event in events])
        return {partition: offset + 1 for partition, offset in placed}

    async def undo(self, run: str, *, time_ms: int, space: str | None = None) -> dict[str, list[str]]:
        """Bring back what a run hid, but for what was restored, forgotten again or erased since.

        Args:
            run: Its id.
            time_ms: Now.
            space: Only of this space; None is all.

        Returns:
            Per space, the ids of what is brought back.

        Raises:
            BadInput: The log holds no such run, or it hid nothing in this space.
            RetryLater: The log is away.
        """
        hidden = await hidden_by(self._log, run)
        if space is not None:
            hidden = {name: ids for name, ids in hidden.items() if name == space}
        if not hidden:
            where = "in the log" if space is None else f"in {space}"
            raise BadInput(f"there is no run of forgetting {run} {where}; forget --yes and why print the ids of runs")
        for name, ids in hidden.items():
            await self.mark(name, ids, MemoryRestored, f"undoes the run {run}", time_ms=time_ms)
        return hidden


async def hidden_by(log: Log, run: str) -> dict[str, list[str]]:
    """Return per space the memories that a run hid, without those that were shown, hidden again or erased since.

    What somebody had asked to be hidden before stays so, where the run named it too.

    Args:
        log: Where its events stand.
        run: Id of the run.

    Returns:
        Nothing where the log holds no such run; an empty list where nothing of it is left.

    Raises:
        BadInput: The log holds nothing.
        RetryLater: It is away.
    """
    hidden: dict[str, dict[str, None]] = {}
    asked: dict[str, set[str]] = {}
    seen: set[str] = set()
    async for one in (await LogReader.open(log)).events(CONTROL, None):
        if one.event.id in seen:
            continue
        seen.add(one.event.id)
        match one.event.data:
            case MemoryForgotten() as data if data.run == run:
                before = asked.get(one.event.space, set())
                found = dict.fromkeys(id_ for id_ in data.memory_ids if id_ not in before)
                hidden.setdefault(one.event.space, {}).update(found)
            case MemoryForgotten() | MemoryRestored() | SubjectErased() as data:
                for id_ in data.memory_ids:
                    hidden.get(one.event.space, {}).pop(id_, None)
                if isinstance(data, MemoryForgotten) and data.run is UNSET:
                    asked.setdefault(one.event.space, set()).update(data.memory_ids)
                elif isinstance(data, MemoryRestored):
                    asked.get(one.event.space, set()).difference_update(data.memory_ids)
            case _:
                pass
    return {space: list(ids) for space, ids in sorted(hidden.items())}
