"""What each record of a log changed of the graph and the facts of one space."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from helamem.processors.coactivation.reading import read
from helamem.processors.coactivation.state import FoldState
from helamem.processors.encoding.content import statement_id
from helamem.processors.encoding.unsealing import Erased, Words
from helamem.processors.history import changes
from helamem.processors.history.changes import Change
from helamem.processors.history.facts import Facts
from helamem.processors.history.links import Links
from helamem.processors.port import Delivery
from helamem.processors.seen import Seen
from helamem.schemas.events import (
    ConversationMessage,
    HubFormed,
    KnowledgeDistilled,
    KnowledgeRetracted,
    MemoryForgotten,
    MemoryRecalled,
    MemoryReinforced,
    MemoryRestored,
    SubjectErased,
)
from helamem.schemas.ids import memory_id
from helamem.schemas.settings import Settings
from helamem.schemas.times import format_ms
from helamem.schemas.topics import CONTROL, FACTS, RECALLS, TopicSpec
from helamem.schemas.wire import Event

TEXT_LENGTH = 300
"""Characters of a memory's text that are told."""


class Folding:
    """The fold of one space over the records of its partitions, of which each topic's are taken in order.

    Between two records it keeps the rows of links, the facts without their words, which hub is of which memory, the
    ids of all memories, of those that are hidden and of the last one of each conversation, and in each of three
    partitions the hashes of the last 8,192 events. It grows with the space and not with the log.

    Args:
        space: The space.
        settings: What is in force before the first `settings.applied` of a partition.
        erased: What the log says was erased, also later than a record that is taken.
        words: Opens the words of an event that the log took at a time.
    """

    def __init__(self, space: str, settings: Settings, *, erased: Erased, words: Callable[[Event, int], Words]) -> None:
        self._space = space
        self._settings = settings
        self._erased = erased
        self._words = words
        self._links = Links(space)
        self._facts = Facts()
        self._recalls = FoldState(None)
        self._seen = {FACTS: Seen(), CONTROL: Seen()}
        self._hubs: dict[str, str] = {}
        self._memories: set[str] = set()
        self._last: dict[str, str] = {}
        self._hidden: set[str] = set()

    def skip(self, topic: TopicSpec, delivery: Delivery) -> None:
        """Take a record that was told before."""
        if topic == RECALLS:
            for stretch in read([delivery], self._recalls, self._settings, Counter(), [self._space]):
                for event in stretch.events:
                    self._links.skip(event, stretch.settings)
        else:
            self.tell(topic, 0, delivery)

    def tell(self, topic: TopicSpec, append_time_ms: int, delivery: Delivery) -> list[Change]:
        """Take a record, of whatever space, and return what it changed.

        Args:
            topic: Its topic.
            append_time_ms: When the log took it.
            delivery: What its processor takes of it.

        Raises:
            ConfigurationError: The log puts rules in force that this version does not know.
        """
        event = delivery.event
        if topic == RECALLS:
            return [*self._linked(append_time_ms, delivery)]
        seen = self._seen.get(topic)
        if (seen and seen.admit(event.id, delivery.value)[0] != "accepted") or event.space != self._space:
            return []
        match event.data:
            case ConversationMessage() as data:
                return [*self._said(append_time_ms, event, data)]
            case HubFormed(memory_id=of):
                self._hubs.setdefault(event.id, of)
            case KnowledgeDistilled() | KnowledgeRetracted() as data:
                return self._known(append_time_ms, delivery, data)
            case _:
                return [*self._marked(format_ms(append_time_ms), delivery)]
        return []

    def _known(
        self, append_time_ms: int, delivery: Delivery, data: KnowledgeDistilled | KnowledgeRetracted
    ) -> list[Change]:
        at = format_ms(append_time_ms)
        if isinstance(data, KnowledgeRetracted):
            return self._facts.retract(at, delivery, data)
        if data.fact_id != statement_id(self._space, data):  # encoding puts it aside
            return []
        return self._facts.tell(at, delivery, data, self._words(delivery.event, append_time_ms), self._hubs.get)

    def _marked(self, at: str, delivery: Delivery) -> Iterator[Change]:
        """Yield what a control event says of memories; what was erased before stays hidden."""
        id_ = delivery.event.id
        match delivery.event.data:
            case MemoryForgotten(memory_ids=ids):
                if hidden := self._mark(ids, hidden=True):
                    yield changes.MemoriesHidden(at=at, event_id=id_, memory_ids=hidden)
            case MemoryRestored(memory_ids=ids):
                free = [one for one in ids if not self._erased.before(self._space, one, delivery.position)]
                if shown := self._mark(free, hidden=False):
                    yield changes.MemoriesShown(at=at, event_id=id_, memory_ids=shown)
            case SubjectErased() as data:
                self._mark(data.memory_ids, hidden=True)
                if data.memory_ids or data.fact_ids:
                    yield changes.Erased(at=at, event_id=id_, memory_ids=data.memory_ids, fact_ids=data.fact_ids)

    def _said(self, append_time_ms: int, event: Event, data: ConversationMessage) -> Iterator[Change]:
        id_ = memory_id(event.space, data.message_id)
        if id_ in self._memories:  # the first message with an id is the one that counts
            return
        self._memories.add(id_)
        text = self._words(event, append_time_ms).text
        previous, self._last[data.conversation] = self._last.get(data.conversation), id_
        yield changes.MemoryAdded(
            at=format_ms(append_time_ms),
            event_id=event.id,
            memory_id=id_,
            conversation=data.conversation,
            speaker=data.speaker,
            role=data.role,
            time=format_ms(event.time_ms),
            text=None if text is None else text[:TEXT_LENGTH],
            previous=previous,
            hidden=id_ in self._hidden,
        )

    def _linked(self, append_time_ms: int, delivery: Delivery) -> Iterator[Change]:
        event, data = delivery.event, delivery.event.data
        for stretch in read([delivery], self._recalls, self._settings, Counter(), [self._space]):
            assert isinstance(data, MemoryRecalled | MemoryReinforced)  # nothing else is folded
            for one in stretch.events:
                changed = self._links.tell(one, stretch.settings)
                reinforced = isinstance(data, MemoryReinforced)
                yield changes.LinksChanged(
                    at=format_ms(append_time_ms),
                    event_id=event.id,
                    recall_id=data.recall_id if isinstance(data, MemoryReinforced) else event.id,
                    reinforced=reinforced,
                    query=None if reinforced else self._words(event, append_time_ms).text,
                    edges=changed.edges,
                    pruned=changed.pruned,
                )

    def _mark(self, ids: Sequence[str], *, hidden: bool) -> tuple[str, ...]:
        """Mark memories, which may come later, and return those that were not marked so before."""
        changed = tuple(id_ for id_ in dict.fromkeys(ids) if (id_ in self._hidden) != hidden)
        (self._hidden.update if hidden else self._hidden.difference_update)(changed)
        return changed
