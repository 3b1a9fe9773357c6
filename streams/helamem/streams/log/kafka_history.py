"""The generations of a log in Kafka, as logs: the one in use, and those that a migration left and nobody deleted."""

from __future__ import annotations

from typing import NamedTuple, Self

from helamem.schemas.errors import BadInput, RetryLater
from helamem.schemas.topics import TOPICS
from helamem.streams.log.generation import specs_in, specs_of
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_generations import SEALED, generations
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.kafka_topics import admin_client, replicas_of


class Logs(NamedTuple):
    """What Kafka holds."""

    in_use: KafkaLog
    left: dict[int, KafkaLog]
    """Earlier generations of which all topics are there, oldest first."""
    number: int
    """Of the generation in use."""
    sealed: bool
    """Whether a migration is under way, so that the generation in use takes no record."""


class KafkaHistory:
    """Opens each generation when it is asked for, and closes all of them at the end."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._logs: dict[int, KafkaLog] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for log in self._logs.values():
            await log.close()

    async def look(self) -> Logs:
        """Return what Kafka holds now.

        Raises:
            RetryLater: Kafka is away.
            ConfigurationError: Topics of the generation in use are missing, or Kafka refuses access.
        """
        states = await generations(self._settings)
        async with admin_client(self._settings, "looking at topics") as admin:
            there = await replicas_of(admin)
        current = next((one for one in states if one.state.startswith("in use")), None)
        number = TOPICS[0].generation if current is None else current.number
        if number not in self._logs:
            log = await KafkaLog.open(self._settings, TOPICS)
            if (await specs_in(log, TOPICS))[0].generation != number:
                await log.close()
                raise RetryLater("a migration has put another generation in use just now; try again")
            self._logs[number] = log
        left = {}
        for one in states:
            specs = specs_of(one.number, one.partitions, TOPICS)
            if one.state == "left" and all(len(there.get(spec.name, ())) == spec.partitions for spec in specs):
                if one.number not in self._logs:
                    self._logs[one.number] = KafkaLog(self._settings, specs)
                left[one.number] = self._logs[one.number]
        sealed = current is not None and current.state == SEALED
        return Logs(self._logs[number], left, number, sealed)

    async def after(self, number: int | None) -> list[KafkaLog]:
        """Return the generations that came after one, oldest first; after None, the one in use, came none."""
        logs = await self.look()
        if number is None:
            return []
        left = [log for one, log in sorted(logs.left.items()) if one > number]
        return [*left, logs.in_use] if number < logs.number else left

    async def at(self, number: int | None) -> KafkaLog:
        """Return one generation; None is the one in use.

        Raises:
            BadInput: Kafka does not hold it.
        """
        logs = await self.look()
        found = logs.in_use if number in {None, logs.number} else logs.left.get(number or 0)
        if found is None:
            held = ", ".join(map(str, (*logs.left, logs.number)))
            raise BadInput(f"Kafka does not hold generation {number} of the topics (it has {held}); read an archive")
        return found
