"""Agents: what a platform adds for the topics with few records, by the one recipe with which Faust loses nothing.

One record at a time and in order; `RetryLater` is waited out while heartbeats go on; what else a handler raises puts
the record aside as a dead letter; and only then is its position committed. A handler may therefore see a record again
(after a crash, or when its partition moved in the middle), so done twice must be as done once. A handler that wants
to stop hard ends the process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from faust.types import StreamT, TopicT

from helamem.schemas.errors import ConfigurationError
from helamem.schemas.records import TopicPartition
from helamem.streams.backoff import Backoff
from helamem.streams.fleet.app import FleetApp
from helamem.streams.fleet.faust_loop import Handle, SafeLoop

Handler = TypeVar("Handler", bound=Handle)

LOOK_AGAIN_S = 30.0
"""How often an agent that hears nothing looks into the log by itself; Faust's consumers are known to fall asleep."""


def safe_agent(
    app: FleetApp,
    topic: TopicT,
    *,
    name: str,
    group: str | None = None,
    backoff: Backoff | None = None,
    look_again_s: float = LOOK_AGAIN_S,
) -> Callable[[Handler], Handler]:
    """Make an agent of a handler that takes one event at a time.

    It is a decorator::

        @safe_agent(app, app.topics.facts, name="webhook")
        async def post(arrival: Arrival) -> None: ...

    Args:
        app: The application. Its name is the consumer group: each agent of a topic needs an application of its own.
        topic: One of `app.topics`.
        name: Of the agent; it stays the same when code moves.
        group: Under which its dead letters are written; the default is `name`.
        backoff: Waits after `RetryLater`.
        look_again_s: How often it looks into the log by itself while Faust brings nothing.

    Raises:
        ConfigurationError: The topic has an agent already.
    """

    def made(handler: Handler) -> Handler:
        _add_agent(app, topic, handler, name=name, group=group or name, backoff=backoff, look_again_s=look_again_s)
        return handler

    return made


def _add_agent(
    app: FleetApp,
    topic: TopicT,
    handler: Handle,
    *,
    name: str,
    group: str,
    backoff: Backoff | None,
    look_again_s: float,
) -> None:
    if topic in app.claimed:
        raise ConfigurationError(
            f"{topic.get_topic_name()} has the agent {app.claimed[topic]} already, and an application has one"
            f" position in each partition; give {name} an application of its own, by another name"
        )
    app.claimed[topic] = name
    loop = SafeLoop(
        app, topic, handler, name=name, group=group, backoff=backoff or Backoff(), look_again_s=look_again_s
    )

    async def hold(*of_signal: Any, **_: object) -> None:
        _, assigned = of_signal
        await loop.hold(TopicPartition(*at) for at in assigned)

    async def let_go(*_: Any, **__: object) -> None:
        await loop.let_go()

    app.on_partitions_assigned.connect(hold)
    app.on_partitions_revoked.connect(let_go)
    app.on_before_shutdown.connect(let_go)
    app.task(loop.watch)

    async def agent(stream: StreamT[bytes]) -> None:
        await loop.run(stream)

    app.agent(app.topics.unacknowledged(topic), name=name, concurrency=1)(agent)
