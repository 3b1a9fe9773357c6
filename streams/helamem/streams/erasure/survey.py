"""What of a space is a data subject's, by the log: what an erasure takes away, and what it cannot."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from typing import NamedTuple

from msgspec import UNSET, Struct

from helamem.processors.answers import hash_of
from helamem.processors.encoding.content import spoken, statement_id
from helamem.processors.encoding.unsealing import Unsealer
from helamem.schemas.errors import Poison
from helamem.schemas.events import (
    EVERYONE,
    ConversationMessage,
    HubFormed,
    KnowledgeDistilled,
    KnowledgeRetracted,
    MemoryRecalled,
    ModelAnswered,
    RecordDeadLettered,
    SubjectErased,
    subjects_of,
)
from helamem.schemas.ids import tenant_of
from helamem.schemas.records import TopicPartition
from helamem.schemas.topics import CONTROL, CONVERSATIONS, DEAD_LETTERS, EFFECTS, FACTS, HUBS, RECALLS
from helamem.schemas.wire import Event, decode
from helamem.streams.embedding_cache import cache_key
from helamem.streams.lineage.reader import Found, LogReader
from helamem.streams.lineage.said import message_of
from helamem.streams.log.port import Log

_PAGE = 1000
_CIPHERTEXT = b'"ciphertext"'


class Remains(Struct, kw_only=True):
    """Records of the log in which words stand unsealed; they stay for as long as the log keeps them."""

    messages: int = 0
    facts: int = 0
    recalls: int = 0
    """All of the space: a question may say anything about anybody."""
    dead_letters: int = 0
    """All of the space: their bytes could not be read."""
    answers: int = 0
    """What a service answered when it was asked to embed their words, and all that a model answered about hubs of the
    tenant: it may quote anybody, also where nothing of it became a fact."""


class Cut(NamedTuple):
    """Where an erasure begins among those who go on speaking: what is said later is not erased by it."""

    ends: Mapping[TopicPartition, int]
    """Where each partition ended."""
    keys: frozenset[str]
    """That were retired: what they sealed is theirs, also where it came later."""


class Survey:
    """What a log holds of a data subject; made by `Survey.of`.

    Attributes:
        memories: Ids of memories whose words are to go, and are not yet said to be gone; also of those that messages
            would become that were put aside.
        facts: Likewise of facts.
        vectors: Keys of the vectors in the cache that were made from their words, as far as these can be read.
        unretracted: Facts that lost their words, or will, and were not yet retracted.
        hubs: What those facts were distilled from.
        resealed: Data subjects with whose next keys such facts were sealed, by who had read the words before.
        remains: What the log keeps.
        erased_before: Whether the log has an erasure of this data subject.
        known: Whether anything in the space names this data subject, an erasure included.
    """

    def __init__(
        self,
        reader: LogReader,
        unsealer: Unsealer,
        space: str,
        subject: str,
        *,
        embedder: str,
        cut: Cut | None,
    ) -> None:
        self.memories: list[str] = []
        self.facts: list[str] = []
        self.vectors: set[bytes] = set()
        self.unretracted: list[str] = []
        self.hubs: list[tuple[Event, HubFormed]] = []
        self.resealed: set[str] = set()
        self.remains = Remains()
        self.erased_before = False
        self.known = False
        self._reader = reader
        self._unsealer = unsealer
        self._space = space
        self._subject = subject
        self._embedder = embedder
        self._cut = cut
        self._gone: set[str] = set()
        self._inputs: set[str] = set()

    @classmethod
    async def of(
        cls, log: Log, unsealer: Unsealer, *, space: str, subject: str, embedder: str, cut: Cut | None = None
    ) -> Survey:
        """Look through a log.

        Args:
            log: The log.
            unsealer: Opens what is sealed for as long as its keys exist, whatever the log says of them.
            space: Where.
            subject: Who.
            embedder: Name of what gave the vectors.
            cut: What is said later is left alone; None is for a log in which nobody says anything meanwhile.

        Raises:
            BadInput: The log is empty.
        """
        made = cls(await LogReader.open(log), unsealer, space, subject, embedder=embedder, cut=cut)
        await made._messages()
        await made._facts()
        await made._rest()
        made.remains.dead_letters = await _dead_letters(log, space)
        return made

    async def _messages(self) -> None:
        seen: set[str] = set()
        aside: set[str] = set()
        async for one in self._reader.events(CONVERSATIONS, self._space, put_aside=True):
            id_, data = message_of(one), one.event.data
            if id_ is None or not isinstance(data, ConversationMessage):
                continue
            theirs = self._concerns(one, data)
            self.remains.messages += theirs and data.sealed is UNSET
            if self._reader.is_put_aside(one.partition, one.offset):
                if theirs:
                    aside.add(id_)
                continue
            if id_ in seen:
                continue
            seen.add(id_)  # the first message with an id is the one that counts
            before = self._reader.erased.has(self._space, id_)
            if theirs and not before:
                self.memories.append(id_)
            if theirs or before:
                self._gone.add(id_)
                if (text := self._unsealer.open(one.event)) is not None:
                    self._note(spoken(data.speaker, text))
        self.memories += self._unsaid(aside - seen)  # so that whoever redrives them gets tombstones

    async def _facts(self) -> None:
        affected: dict[str, None] = {}
        retracted: set[str] = set()
        hubs: set[str] = set()
        async for one in self._reader.events(FACTS, self._space, put_aside=True):
            data = one.event.data
            aside = self._reader.is_put_aside(one.partition, one.offset)
            if isinstance(data, KnowledgeRetracted) and not aside:
                retracted.add(data.fact_id)
            if not isinstance(data, KnowledgeDistilled) or data.fact_id != statement_id(self._space, data):
                continue
            before = self._reader.erased.has(self._space, data.fact_id)
            rests = any(evidence.memory_id in self._gone for evidence in data.evidence)
            if not (before or rests or self._concerns(one, data)):
                continue
            hubs.add(data.hub)
            self.remains.facts += data.sealed is UNSET
            self._note_keys(data)
            if not before and data.fact_id not in affected:
                self.facts.append(data.fact_id)
            affected[data.fact_id] = None
            if not aside and (text := self._unsealer.open(one.event)) is not None:
                self._note(text)
        self.unretracted = [id_ for id_ in affected if id_ not in retracted]
        async for one in self._reader.events(HUBS, self._space):
            if isinstance(one.event.data, HubFormed) and one.event.id in hubs:
                hubs.discard(one.event.id)
                self.hubs.append((one.event, one.event.data))

    async def _rest(self) -> None:
        async for one in self._reader.events(RECALLS, self._space, put_aside=True):
            self.remains.recalls += isinstance(one.event.data, MemoryRecalled) and one.event.data.sealed is UNSET
        async for one in self._reader.events(CONTROL, self._space):
            self.erased_before |= isinstance(one.event.data, SubjectErased) and one.event.data.subject == self._subject
        self.known |= self.erased_before
        tenant = tenant_of(self._space)
        async for one in self._reader.events(EFFECTS, None, put_aside=True):
            self.remains.answers += isinstance(one.event.data, ModelAnswered) and (
                one.event.data.input_hash in self._inputs
                or (one.event.data.kind == "distillation" and one.event.data.tenant == tenant)
            )

    def _unsaid(self, ids: Collection[str]) -> list[str]:
        """Return which of some memories are not yet said to be gone."""
        return sorted(id_ for id_ in ids if not self._reader.erased.has(self._space, id_))

    def _note_keys(self, data: KnowledgeDistilled) -> None:
        """Take in whose keys seal a fact that is to go, and are not to go yet."""
        if self._cut is None or data.sealed is UNSET or self._reader.erased.closed(self._space, data.sealed):
            return
        if not any(one.key in self._cut.keys for one in data.sealed.keys):
            self.resealed |= {one.subject for one in data.sealed.keys} & {self._subject, EVERYONE}

    def _note(self, text: str) -> None:
        """Take in a text that was embedded."""
        self.vectors.add(cache_key(self._embedder, text))
        self._inputs.add(hash_of(text))

    def _concerns(self, one: Found, data: ConversationMessage | KnowledgeDistilled) -> bool:
        named: Collection[str] = ()
        if data.sealed is not UNSET:
            named = [one.subject for one in data.sealed.keys]
        elif isinstance(data, ConversationMessage):
            named = subjects_of(data)
        self.known |= self._subject in named
        if self._cut is not None and one.offset >= self._cut.ends.get(one.partition, 0):
            keys = () if data.sealed is UNSET else data.sealed.keys
            return any(key.key in self._cut.keys for key in keys)
        return self._subject in named or EVERYONE in named


async def _dead_letters(log: Log, space: str) -> int:
    """Return how many dead letters hold unsealed bytes of a space."""
    count = 0
    for partition in await log.partitions(DEAD_LETTERS.name):
        offset = (await log.begin_offsets([partition]))[partition]
        while records := await log.read(partition, offset, limit=_PAGE):
            offset = records[-1].offset + 1
            for record in records:
                if record.key == space.encode():
                    count += not _is_sealed(record.value)
    return count


def _is_sealed(value: bytes) -> bool:
    try:
        letter = decode(value).data
    except Poison:
        return False
    return isinstance(letter, RecordDeadLettered) and _CIPHERTEXT in base64.b64decode(letter.value_base64)
