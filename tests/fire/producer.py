"""Agents as a process: they say things, as fast as the fleet takes them or slower, recall what they said and use it.

Written to the file that is named first: a line for each message that the log has acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from fakes.events import START_MS, message, recalled, record, reinforced
from helamem.processors.encoding.processor import GROUP as ENCODING
from helamem.schemas.errors import RetryLater
from helamem.schemas.records import TopicPartition
from helamem.schemas.topics import CONVERSATIONS, TOPICS
from helamem.schemas.wire import Event
from helamem.streams.config import load_config
from helamem.streams.log.kafka import KafkaLog

SPACES = 20
AGENTS = 5
"""Who produce side by side; each has spaces of its own."""
_LOOK_S = 0.3
_WORDS = """harbour bread violin mountain letter garden engine river winter market teacher bicycle lantern forest
island kitchen doctor painting museum bridge station ticket coffee sailing pottery chess""".split()
_NAMES = ("Anna", "Tom", "Mira", "Jon")


class Backlog:
    """How far the agents are ahead of the fleet.

    Args:
        log: Where both are to be seen.
        most: Messages that they may be ahead.
        pause_s: Of each of them, before it says something.
    """

    def __init__(self, log: KafkaLog, most: int, pause_s: float) -> None:
        self._log = log
        self._most = most
        self._pause_s = pause_s
        self.ends: defaultdict[TopicPartition, int] = defaultdict(int)
        self._committed: dict[TopicPartition, int] = {}
        self._looked = asyncio.Event()

    async def room(self) -> None:
        """Wait until they are not too far ahead, and for the pause."""
        await asyncio.sleep(self._pause_s)
        while self._ahead() > self._most:
            await self._looked.wait()

    async def watch(self) -> None:
        """Look how far the fleet has come, until cancelled."""
        while True:
            with contextlib.suppress(RetryLater):
                self._committed = await self._log.committed(ENCODING)
            self._looked.set()
            self._looked.clear()  # whoever waits has been woken
            await asyncio.sleep(_LOOK_S)

    def _ahead(self) -> int:
        return sum(end - self._committed.get(at, 0) for at, end in self.ends.items())


class Agent:
    """One who says, recalls and uses.

    Args:
        number: Which one.
        seed: Of what it says.
        log: Where to.
        backlog: What holds it back.
        acknowledged: Where to write down what was acknowledged.
    """

    def __init__(self, number: int, seed: int, log: KafkaLog, backlog: Backlog, acknowledged: TextIO) -> None:
        self._rng = random.Random(seed * AGENTS + number)
        self._log = log
        self._backlog = backlog
        self._acknowledged = acknowledged
        self._spaces = [f"fire/agent-{space:02}" for space in range(number, SPACES, AGENTS)]
        self._said: defaultdict[str, list[str]] = defaultdict(list)
        self._themes: defaultdict[str, list[list[str]]] = defaultdict(list)
        self._recalls = 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Go on until `stopping` is set."""
        while not stopping.is_set():
            space = self._rng.choice(self._spaces)
            await self._backlog.room()
            await self._say(space)
            for _ in range(self._rng.choice((0, 1, 4))):
                await self._recall(space)

    async def _say(self, space: str) -> None:
        said = self._said[space]
        numbers = range(len(said), len(said) + self._rng.choice((1, 20, 150)))
        events = [_message(space, number) for number in numbers]
        # Now and then a producer that does not trust what it was told.
        doubtful = [_message(space, numbers[0] - 1)] if said and self._rng.random() < 0.05 else []
        for at, offset in await self._append([*doubtful, *events]):
            self._backlog.ends[at] = max(self._backlog.ends[at], offset + 1)
        names = [_name(space, number) for number in numbers]
        said += names
        self._acknowledged.writelines(f"{space} {name}\n" for name in names)
        self._acknowledged.flush()

    async def _recall(self, space: str) -> None:
        """Recall what belongs together, most times a theme that was recalled before, and say what was of use."""
        said, themes = self._said[space], self._themes[space]
        if len(said) < 6:
            return
        if not themes or self._rng.random() < 0.15:
            themes.append(self._rng.sample(said[-300:] if self._rng.random() < 0.7 else said, 6))
        theme = self._rng.choice(themes[-8:])
        self._recalls += 1
        id_ = f"recall-{space}-{self._recalls}"
        time_ms = START_MS + len(said) * 1000
        # What was acknowledged lay before this place; a recall that saw it was answered from there or further on.
        applied = {str(at): end for at, end in self._backlog.ends.items()}
        events = [recalled(id_, theme, space=space, time_ms=time_ms, applied=applied)]
        if self._rng.random() < 0.7:
            used = self._rng.sample(theme, self._rng.randint(2, 5))
            events.append(reinforced(f"{id_}-used", used, space=space, time_ms=time_ms))
        await self._append(events)

    async def _append(self, events: Sequence[Event]) -> list[tuple[TopicPartition, int]]:
        records = [record(event) for event in events]
        while True:
            try:
                return await self._log.append(records)
            except RetryLater:
                await asyncio.sleep(0.1)


def _name(space: str, number: int) -> str:
    return f"{space[-2:]}-{number}"


def _message(space: str, number: int) -> Event:
    """Return a message; the same number is always the same message."""
    rng = random.Random(f"{space} {number}")
    first, second, third = rng.sample(_WORDS, 3)
    return message(
        _name(space, number),
        f"I saw the {first} near the {second} and liked the {third} of day {number} very much.",
        space=space,
        conversation=f"talk-{number // 40 % 7}",
        speaker=rng.choice(_NAMES),
        time_ms=START_MS + number * 1000,
    )


async def produce(acknowledged: Path, seed: int, most_ahead: int, pause_s: float) -> None:
    """Produce until SIGTERM; whatever is under way then is acknowledged first."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with await KafkaLog.open(load_config().kafka(), TOPICS) as log:
        backlog = Backlog(log, most_ahead, pause_s)
        for at, end in (await log.end_offsets(await log.partitions(CONVERSATIONS.name))).items():
            backlog.ends[at] = end
        watching = asyncio.create_task(backlog.watch())
        with acknowledged.open("a") as file:
            async with asyncio.TaskGroup() as tasks:
                for number in range(AGENTS):
                    tasks.create_task(Agent(number, seed, log, backlog, file).run(stopping))
        watching.cancel()
        await asyncio.wait([watching])


if __name__ == "__main__":
    asyncio.run(produce(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
