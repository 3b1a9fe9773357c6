"""A worker for the tests of the Faust application: its handler does what the events tell it to.

It is started as a process of its own, with one `Part` as JSON. What a `knowledge.retracted` gives as its reason is
what the handler does; each event that it begins and ends with is a line in a file that all workers append to.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from faust.assignor import LeaderAssignor
from msgspec import Struct

from helamem.schemas.errors import RetryLater
from helamem.schemas.events import KnowledgeRetracted
from helamem.schemas.topics import TopicSpec
from helamem.streams.fleet.agents import safe_agent
from helamem.streams.fleet.app import FleetApp, build_app
from helamem.streams.fleet.codec import Arrival, arrival_of, record_of
from helamem.streams.fleet.faust_loop import SafeLoop
from helamem.streams.fleet.faust_worker import run_worker
from helamem.streams.log.kafka_settings import KafkaSettings


class Topic(Struct, frozen=True, kw_only=True):
    """What a test needs to say of a topic."""

    base_name: str
    partitions: int
    generation: int

    def spec(self) -> TopicSpec:
        return TopicSpec(
            base_name=self.base_name, key="space", events=(), partitions=self.partitions, generation=self.generation
        )


class Part(Struct, frozen=True, kw_only=True):
    """What one worker is to be."""

    servers: str
    group: str
    topics: tuple[Topic, ...]
    directory: str
    agent: str = "safe"
    """`safe`, `plain` (as Faust's manual has it) or `none`."""
    service: str = ""
    """What a service beside it does: `run`, `fail` or `stuck`; there is none where it is empty."""
    timer: bool = False
    leader: bool = True
    """Whether our own leader is used, or what Faust does by itself."""
    session_timeout_s: float = 6.0
    rebalance_timeout_s: float = 30.0
    drain_s: float = 15.0
    look_again_s: float = 30.0
    deaf: bool = False
    """Whether Faust brings nothing."""


class Notes:
    """Lines in the file that all workers share."""

    def __init__(self, directory: Path) -> None:
        self._file = os.open(directory / "notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._directory = directory

    def note(self, what: str, which: str) -> None:
        os.write(self._file, f"{os.getpid()} {what} {which}\n".encode())

    def first(self, what: str) -> bool:
        """Return whether nobody has come by here before."""
        try:
            (self._directory / what).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


async def obey(arrival: Arrival, notes: Notes) -> None:
    """Do what the event says."""
    event = arrival.event
    assert isinstance(event.data, KnowledgeRetracted)
    notes.note("begin", event.id)
    what, _, how = event.data.reason.partition(":")
    match what:
        case "raise":
            raise ValueError("told to")
        case "kill" if notes.first(f"killed-{event.id}"):
            os.kill(os.getpid(), signal.SIGKILL)
        case "slow":
            await asyncio.sleep(float(how))
        case "slow-once" if notes.first(f"slow-{event.id}"):
            await asyncio.sleep(float(how))
        case "block":
            time.sleep(float(how))  # noqa: ASYNC251 - it is meant to block
        case "away" if notes.first(f"away-{event.id}"):
            raise RetryLater("told to")
    notes.note("end", event.id)


async def main(part: Part) -> int:
    """Run the worker and return its exit code."""
    notes = Notes(Path(part.directory))
    app = build_app(
        KafkaSettings(bootstrap_servers=part.servers),
        [topic.spec() for topic in part.topics],
        name=part.group,
        services=[partial(_service, part.service, notes)] if part.service else [],
        session_timeout_s=part.session_timeout_s,
        rebalance_timeout_s=part.rebalance_timeout_s,
        drain_s=part.drain_s,
    )
    if not part.leader:
        settings: Any = app.conf
        settings.LeaderAssignor = LeaderAssignor
    if part.timer:

        async def tick() -> None:
            notes.note("tick", "-")

        app.timer(0.2, on_leader=True)(tick)
    if part.deaf:
        setattr(SafeLoop, "run", _hear_nothing)  # noqa: B010 - mypy knows that methods are not assigned to
    if part.agent == "safe":

        @safe_agent(app, app.topics.facts, name=part.group, look_again_s=part.look_again_s)
        async def safe(arrival: Arrival) -> None:
            await obey(arrival, notes)

    elif part.agent == "plain":
        _plain_agent(app, notes)
    return await run_worker(app)


async def _service(what: str, notes: Notes, stop: asyncio.Event) -> None:
    notes.note("service", "started")
    if what == "fail":
        await asyncio.sleep(0.5)
        raise RuntimeError("the service was told to fail")
    await stop.wait()
    notes.note("service", "asked")
    if what == "stuck":
        await asyncio.sleep(3600)
    notes.note("service", "ended")


async def _hear_nothing(*_: object) -> None:
    await asyncio.sleep(3600)


def _plain_agent(app: FleetApp, notes: Notes) -> None:
    @app.agent(app.topics.facts, name="plain")
    async def plain(stream: Any) -> None:
        async for event in stream.events():
            await obey(arrival_of(record_of(event)), notes)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    sys.exit(asyncio.run(main(msgspec.json.decode(sys.argv[1], type=Part))))
