"""The checkpoints of a store on a server: one point for each processor and partition, and pieces of large states."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from typing import Any

from qdrant_client import AsyncQdrantClient, models

from helamem.processors.store.payload import GENERATION, OFFSET
from helamem.processors.store.port import Checkpoint
from helamem.processors.store.qdrant_collections import applied
from helamem.processors.store.qdrant_queries import older, replacement
from helamem.schemas.errors import RetryLater
from helamem.schemas.ids import derived_id
from helamem.schemas.records import Position, TopicPartition

PIECE = 1_000_000
"""Characters of base64 in one point; a request of some MB passes every default limit."""
OF = "of"
"""Of a piece: the id of its checkpoint's point."""
_PAGE = 100


class CheckpointPoints:
    """Checkpoints in a collection.

    Args:
        client: Of the server.
        collection: Name of the collection.
    """

    def __init__(self, client: AsyncQdrantClient, collection: str) -> None:
        self._client = client
        self._collection = collection

    async def save(self, checkpoint: Checkpoint) -> None:
        """Replace an older checkpoint: first its pieces, then the point that names them, then away with older pieces.

        Several may save at once. The server puts the point in place only where it is newer, so it never goes back, and
        will never again name pieces that are older than itself.
        """
        text = b64encode(checkpoint.state).decode("ascii")
        topic, partition = checkpoint.partition
        generation, offset = checkpoint.position
        fence = {GENERATION: generation, OFFSET: offset}
        id_ = derived_id("checkpoint", checkpoint.group, topic, str(partition))
        content = hashlib.sha256(checkpoint.state).hexdigest()
        pieces = {
            derived_id("piece", id_, str(generation), str(offset), content, str(start)): text[start : start + PIECE]
            for start in range(0, len(text), PIECE)
        }
        for piece, part in pieces.items():
            point = models.PointStruct(id=piece, vector={}, payload={"piece": part, OF: id_, **fence})
            applied(await self._client.upsert(self._collection, [point], wait=True))
        head = {
            "group": checkpoint.group,
            "topic": topic,
            "partition": partition,
            **fence,
            "pieces": list(pieces),
        }
        named = replacement([models.PointStruct(id=id_, vector={}, payload=head)], checkpoint.position)
        applied(*await self._client.batch_update_points(self._collection, [named], wait=True))
        (stored,) = await self._client.retrieve(self._collection, [id_], with_payload=[GENERATION, OFFSET])
        in_force = stored.payload or {}
        of_it = models.FieldCondition(key=OF, match=models.MatchValue(value=id_))
        unused = models.Filter(must=[of_it, older(Position(in_force[GENERATION], in_force[OFFSET]))])
        await self._client.delete(self._collection, points_selector=models.FilterSelector(filter=unused), wait=True)

    async def load(self, group: str) -> dict[TopicPartition, Checkpoint]:
        """Return the checkpoints of a processor."""
        where = models.Filter(must=[models.FieldCondition(key="group", match=models.MatchValue(value=group))])
        found: dict[TopicPartition, Checkpoint] = {}
        offset = None
        while True:
            points, offset = await self._client.scroll(self._collection, where, limit=_PAGE, offset=offset)
            for point in points:
                checkpoint = await self._checkpoint(point.payload or {})
                found[checkpoint.partition] = checkpoint
            if offset is None:
                return found

    async def _checkpoint(self, head: dict[str, Any]) -> Checkpoint:
        pieces: list[str] = head["pieces"]
        points = await self._client.retrieve(self._collection, pieces) if pieces else []
        parts = {str(point.id): (point.payload or {})["piece"] for point in points}
        if missing := [piece for piece in pieces if piece not in parts]:
            raise RetryLater(f"a checkpoint of {head['group']} was being replaced ({len(missing)} pieces are missing)")
        return Checkpoint(
            group=head["group"],
            partition=TopicPartition(head["topic"], head["partition"]),
            position=Position(head[GENERATION], head[OFFSET]),
            state=b64decode("".join(parts[piece] for piece in pieces)),
        )
