"""Moving the log to another number of partitions: drain, copy, compare, switch.

A topic is never grown in place, since a space must stay in one partition and its positions in one order. So the next
generation of all topics is made beside the one in use and filled from it. Each step may be repeated, and whatever is
killed in between goes on where it was; what can be read in Kafka and in the store is all that it knows:

1. refuse while workers are at work, records come in, or something is not processed yet (see `drained`);
2. make the topics of the next generation, configured as those in use are;
3. seal the generation in use: Kafka takes no more records for it, from nobody;
4. copy;
5. read both again and compare them;
6. carry over what the projection and the groups know: checkpoints at the ends of the copies;
7. switch, by one change to one topic's configuration (see `kafka_generations`), if all is still as it was copied.

Nothing is deleted: the generation that was left stays as it is, sealed.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from helamem.processors.consolidation.processor import GROUP as CONSOLIDATION
from helamem.processors.encoding.processor import GROUP as ENCODING
from helamem.processors.store.port import MemoryStore
from helamem.schemas.errors import BadInput, ConfigurationError, Poison, RetryLater
from helamem.schemas.events import RecordDeadLettered
from helamem.schemas.records import TopicPartition, base_name_of, generation_of
from helamem.schemas.topics import DEAD_LETTERS, TOPICS, TopicSpec
from helamem.schemas.wire import decode, encode
from helamem.streams.dead_letters import letter_id, read_dead_letters
from helamem.streams.lag import READS
from helamem.streams.log.generation import specs_of
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_generations import (
    SEALED,
    Generation,
    generations,
    in_use,
    prepare,
    put_in_use,
    seal,
    unseal,
)
from helamem.streams.log.kafka_producer import Producer
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.kafka_topics import admin_client, partitions_fault, replicas_of
from helamem.streams.migrate.copying import Place, Ranges, Sums, TopicCopy, check
from helamem.streams.migrate.drained import refuse_growth, refuse_lag, refuse_work
from helamem.streams.migrate.groups import Positions, Still, only_one
from helamem.streams.migrate.originals import Original, originals
from helamem.streams.migrate.states import States
from helamem.streams.settings_log import embedded_instead, settings_in_force

_LOOK_AGAIN_S = 0.1
_SHOW = "`helamem topics show`"


class Migrated(Struct, frozen=True, kw_only=True):
    """What a migration came to."""

    generation: int
    partitions: int
    records: dict[str, int]
    """Records of each topic in the new generation; settings stand in every partition."""
    appended: int
    """How many of them were copied now; the others had been before."""


async def migrate(
    settings: KafkaSettings,
    store: MemoryStore,
    partitions: int,
    *,
    replication: int,
    session_timeout_s: float = 10.0,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Migrated:
    """Move all topics to a new generation with so many partitions, and the store and all groups with them.

    Args:
        settings: How to reach Kafka.
        store: The projection that goes on from the new generation.
        partitions: Of each topic that is keyed by space.
        replication: Copies of each partition of the new topics.
        session_timeout_s: After so long a migration that was killed is known to be gone.
        tell: Told of each step.

    Raises:
        BadInput: There are so many partitions already.
        RetryLater: Somebody is still at work, or something is not processed yet; or Kafka or the store is away.
        ConfigurationError: There is nothing to migrate, another migration was begun, or the copy is no copy.
    """
    async with await KafkaLog.open(settings, TOPICS) as log:
        source = await in_use(settings)
        async with only_one(settings, _dead_letters(source).name, session_timeout_s) as still:
            current, target = _next(await generations(settings), partitions, await _newest(store))
            migration = _Migration(settings, store, log, source, target)
            tell(f"looking whether everything in generation {current.number} is processed and nobody is at work")
            await migration.refuse_unfinished(sealed=current.state == SEALED)
            await migration.make_topics(replication)
            ranges, others = await migration.sealed()
            tell(f"copying into generation {target[0].generation} with {partitions} partitions")
            copies = await migration.copied(ranges)
            tell("comparing")
            states, ends = await migration.compared(copies)
            tell("switching")
            await migration.carry_over(states, ends, others)
            await migration.switch(ranges, still)
    return Migrated(
        generation=target[0].generation,
        partitions=partitions,
        records={spec.name: sum(end for at, end in ends.items() if at.topic == spec.name) for spec in target},
        appended=sum(copy.appended for copy, _ in copies),
    )


async def cancel(settings: KafkaSettings, *, session_timeout_s: float = 10.0) -> int:
    """Give up a migration that has not switched yet: the generation in use takes records again. Return its number.

    Args:
        settings: How to reach Kafka.
        session_timeout_s: After so long a migration that was killed is known to be gone.

    Raises:
        BadInput: None is under way.
        RetryLater: One is at work now, or Kafka is away.
    """
    _under_way(await generations(settings))  # before anything else, since there may be no topics yet
    async with only_one(settings, _dead_letters(await in_use(settings)).name, session_timeout_s) as still:
        current = _under_way(await generations(settings))
        source = await in_use(settings)
        await still()
        async with admin_client(settings, "cancelling a migration") as admin:
            await unseal(admin, source)
    return current.number


def _under_way(found: Sequence[Generation]) -> Generation:
    """Return the generation that a migration has sealed."""
    current = next((one for one in found if one.state == SEALED), None)
    if current is None:
        raise BadInput("no migration is under way, so there is nothing to cancel")
    return current


async def _newest(store: MemoryStore) -> int:
    """Return the newest generation that the store has heard of: a migration may have been given up."""
    known = [at for group in READS for at in await store.load_checkpoints(group)]
    return max((generation_of(at.topic) for at in known), default=0)


def _next(found: Sequence[Generation], partitions: int, newest: int) -> tuple[Generation, tuple[TopicSpec, ...]]:
    """Return the generation in use, and the topics of the next one."""
    current = next(one for one in found if one.state.startswith("in use"))
    if current.partitions == partitions:
        raise BadInput(f"generation {current.number} has {partitions} partitions already; give another number")
    begun = next((one for one in found if one.state == "being filled"), None)
    if begun is not None and begun.partitions != partitions:
        raise ConfigurationError(
            f"a migration to {begun.partitions} partitions was begun; finish it with --partitions {begun.partitions}, "
            f"or delete the topics of generation {begun.number}, which is not in use, and try again"
        )
    return current, specs_of(max(current.number, newest) + 1 if begun is None else begun.number, partitions, TOPICS)


class _Migration:
    """One try."""

    def __init__(
        self,
        settings: KafkaSettings,
        store: MemoryStore,
        log: KafkaLog,
        source: Sequence[TopicSpec],
        target: Sequence[TopicSpec],
    ) -> None:
        self._settings = settings
        self._store = store
        self._log = log
        self._source = source
        self._target = target
        self._new = KafkaLog(settings, target)
        self._dead: dict[str, dict[TopicPartition, set[int]]] = defaultdict(lambda: defaultdict(set))

    async def refuse_unfinished(self, *, sealed: bool) -> None:
        """Begin only where all is quiet and processed."""
        partitions = await self._partitions()
        await refuse_work(self._settings, partitions)
        if not sealed:
            await refuse_growth(self._log, partitions)
            await refuse_lag(self._settings, self._log, self._store, partitions)

    async def make_topics(self, replication: int) -> None:
        """Make the topics that are missing in the next generation, and have all of them take what the copies bring."""
        async with admin_client(self._settings, "creating topics") as admin:
            await prepare(admin, self._source, self._target, replication)
            async with asyncio.timeout(self._settings.timeout_s):
                while True:  # brokers hear of it a little later
                    found = await replicas_of(admin)
                    if all(found.get(spec.name) for spec in self._target):
                        break
                    await asyncio.sleep(_LOOK_AGAIN_S)
        for spec in self._target:
            if fault := partitions_fault(spec, len(found[spec.name])):
                raise ConfigurationError(f"{spec.name} {fault}")

    async def sealed(self) -> tuple[Ranges, Positions]:
        """Seal the generation in use; return what it holds, and where the groups of platforms stand."""
        partitions = await self._partitions()
        async with admin_client(self._settings, "sealing topics") as admin:
            await seal(admin, self._source)
            try:  # something may have come in at the last moment
                others = await refuse_lag(self._settings, self._log, self._store, partitions)
            except RetryLater:
                await unseal(admin, self._source)
                raise
        begins, ends = await self._log.begin_offsets(partitions), await self._log.end_offsets(partitions)
        return {at: (begins[at], ends[at]) for at in partitions}, others

    async def _partitions(self) -> list[TopicPartition]:
        return [at for spec in self._source for at in await self._log.partitions(spec.name)]

    async def copied(self, ranges: Ranges) -> list[tuple[TopicCopy, TopicSpec]]:
        """Copy every topic; the dead letters last, since they name positions of the others."""
        letters = [letter async for letter in read_dead_letters(self._log)]
        wanted = frozenset(_place(letter) for letter in letters)
        places: dict[Place, Place] = {}
        copies: list[tuple[TopicCopy, TopicSpec]] = []
        producer = Producer(self._settings)
        try:
            for spec in sorted(self._target, key=lambda one: one.base_name == DEAD_LETTERS.base_name):
                copy = TopicCopy(
                    self._settings,
                    producer,
                    spec,
                    {at: ends for at, ends in ranges.items() if _same_topic(at, spec)},
                    await self._new.end_offsets(await self._new.partitions(spec.name)),
                    wanted=wanted,
                    **({"rewrite": lambda one: _moved(one, places)} if _same(spec, DEAD_LETTERS) else {}),
                )
                await copy.run()
                places.update(copy.places)
                copies.append((copy, spec))
        finally:
            await producer.close()
        for letter in letters:
            if place := places.get(_place(letter)):
                self._dead[letter.group][place[0]].add(place[1])
        return copies

    async def compared(self, copies: Sequence[tuple[TopicCopy, TopicSpec]]) -> tuple[States, dict[TopicPartition, int]]:
        """Read the copies, compare them with what was copied, and compute the states at their ends."""
        encoded = await self._store.load_checkpoints(ENCODING)
        in_force = await settings_in_force(self._log, encoded)
        if in_force is None:
            raise ConfigurationError("the log has no settings yet, so there is nothing to migrate")
        told = {at: one.state for at, one in (await self._store.load_checkpoints(CONSOLIDATION)).items()}
        number = self._source[0].generation
        states = States(
            in_force,
            self._dead,
            {at: state for at, state in told.items() if generation_of(at.topic) == number},
            embedded_instead(encoded),
        )
        ends: dict[TopicPartition, int] = {}
        for copy, spec in copies:
            found = Sums()
            for at, end in (await self._new.end_offsets(await self._new.partitions(spec.name))).items():
                ends[at] = end
                async for one in originals(self._settings, at, 0, end):
                    found.add(at.partition, one, one.value)
                    states.take(spec, at, one.offset, one.value or b"")
            check(copy, found, spec)
        return states, ends

    async def carry_over(self, states: States, ends: Mapping[TopicPartition, int], others: Positions) -> None:
        """Let the store and every group go on at the ends of the copies."""
        checkpoints = states.checkpoints(self._target, ends)
        for checkpoint in checkpoints:
            await self._store.save_checkpoint(checkpoint)
        saved = {(group, at): one for group in READS for at, one in (await self._store.load_checkpoints(group)).items()}
        for checkpoint in checkpoints:
            if saved.get((checkpoint.group, checkpoint.partition)) != checkpoint:
                raise ConfigurationError(
                    f"the store has a newer checkpoint of {checkpoint.partition}, of a migration that was given up; "
                    "delete the topics of that generation, which is not in use, and migrate again"
                )
        try:
            for group, read in READS.items():
                await self._new.commit(group, {at: end for at, end in ends.items() if _read(at, read)})
            for group, offsets in others.items():
                topics = [spec for spec in self._source if any(at.topic == spec.name for at in offsets)]
                await self._new.commit(group, {at: end for at, end in ends.items() if _read(at, topics)})
        finally:
            await self._new.close()

    async def switch(self, ranges: Ranges, still: Still) -> None:
        """Put the next generation in use, and wait until Kafka says so.

        Raises:
            RetryLater: The generation in use is not the one any more that was copied, and stays in use; or it is not
                sure yet what Kafka has done.
        """
        number = self._target[0].generation
        current = next(one for one in await generations(self._settings) if one.state.startswith("in use"))
        ends = await self._log.end_offsets([*ranges])
        if current.number != self._source[0].generation:
            raise RetryLater(f"somebody else has put generation {current.number} in use; look with {_SHOW}")
        if current.state != SEALED or ends != {at: end for at, (_, end) in ranges.items()}:
            raise RetryLater(
                f"generation {current.number} is not as it was copied any more: somebody has given this migration up,"
                f" or records came in; it stays in use, and generation {number} is not; look with {_SHOW}"
            )
        await still()
        try:
            async with admin_client(self._settings, "switching to another generation") as admin:
                await put_in_use(admin, self._target)
        except RetryLater as error:
            raise RetryLater(
                f"everything is copied, and Kafka was told to put generation {number} in use but did not say that it"
                f" has ({error}); migrate again once it answers: that finishes it, or says that it is done"
            ) from error
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                while await in_use(self._settings) != tuple(self._target):  # noqa: ASYNC110 - Kafka tells nobody
                    await asyncio.sleep(_LOOK_AGAIN_S)
        except (TimeoutError, RetryLater) as error:
            raise RetryLater(
                f"the migration is done and generation {number} is in use, but Kafka does not show it yet; there is"
                f" nothing to repeat: start workers and producers when {_SHOW} says so"
            ) from error


def _dead_letters(specs: Sequence[TopicSpec]) -> TopicSpec:
    return next(spec for spec in specs if _same(spec, DEAD_LETTERS))


def _same(one: TopicSpec, other: TopicSpec) -> bool:
    return one.base_name == other.base_name


def _same_topic(at: TopicPartition, spec: TopicSpec) -> bool:
    return base_name_of(at.topic) == spec.base_name


def _read(at: TopicPartition, specs: Sequence[TopicSpec]) -> bool:
    return any(_same_topic(at, spec) for spec in specs)


def _place(letter: RecordDeadLettered) -> Place:
    return TopicPartition(letter.topic, letter.partition), letter.offset


def _moved(original: Original, places: Mapping[Place, Place]) -> bytes | None:
    """Return what a dead letter says of where its record stands now; all else of it stays."""
    try:
        event = decode(original.value or b"")
    except Poison:
        return original.value
    data: Any = event.data
    if not isinstance(data, RecordDeadLettered) or (place := places.get(_place(data))) is None:
        return original.value
    (topic, partition), offset = place
    moved = replace(data, topic=topic, partition=partition, offset=offset, generation=generation_of(topic))
    return encode(replace(event, id=letter_id(data.group, topic, partition, offset), data=moved))
