"""Who is the leader: the worker that holds the first partition of the application's first topic.

Faust elects its leader with a topic of its own, `<id>-__assignor-__leader`, that it creates by itself; whoever gets
its one partition leads. With `topic_disable_leader=True` nobody ever gets it: timers with `on_leader=True` then run
nowhere, without a word. Our topics are made by `helamem topics apply` and by nothing else, so an existing partition
does the same service.
"""

from __future__ import annotations

from faust.assignor import LeaderAssignor
from faust.exceptions import ConsumerNotStarted
from faust.types import TP


class PartitionLeader(LeaderAssignor):
    """Leadership without a topic for it. An application without agents reads nothing and has no leader."""

    async def on_start(self) -> None:
        """Subscribe to nothing: the agents have subscribed already."""

    def is_leader(self) -> bool:
        """Return whether this worker leads now; at most one of a group does, but for the moments of a rebalance."""
        topics = [name for agent in self.app.agents.values() for name in agent.get_topic_names()]
        if not topics:
            return False
        try:
            return TP(min(topics), 0) in self.app.consumer.assignment()
        except ConsumerNotStarted:
            return False
