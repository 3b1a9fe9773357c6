"""A Qdrant server that only keeps account: what collections it was asked for, by gRPC, and how writes came.

It stores points by id and nothing else of what a server does: it answers no query.
"""

from __future__ import annotations

from typing import Any

import grpc  # type: ignore[import-untyped] # ships no types; comes with qdrant-client
from qdrant_client import grpc as q


class RecordingServer(q.CollectionsServicer, q.PointsServicer, q.QdrantServicer):
    """Answers what opening a store and writing ask; the requests are in `requests`, by method.

    Attributes:
        version: What it says it is.
        status: What becomes of every write.
        collections: By name, the request that made it.
    """

    def __init__(self) -> None:
        self.version = "1.20.0"
        self.port = 0
        self.status = q.UpdateStatus.Completed
        self.requests: list[tuple[str, Any]] = []
        self.deadlines_s: list[float | None] = []
        self.collections: dict[str, Any] = {}
        self.aliases: dict[str, str] = {}
        self._points: dict[tuple[str, str], Any] = {}
        self._server: Any = None

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = grpc.aio.server()
        q.add_CollectionsServicer_to_server(self, self._server)  # type: ignore[no-untyped-call] # generated
        q.add_PointsServicer_to_server(self, self._server)  # type: ignore[no-untyped-call] # generated
        q.add_QdrantServicer_to_server(self, self._server)  # type: ignore[no-untyped-call] # generated
        self.port = int(self._server.add_insecure_port("127.0.0.1:0"))
        await self._server.start()

    async def stop(self) -> None:
        """End at once."""
        await self._server.stop(None)

    def of(self, method: str) -> list[Any]:
        """Return the requests of a method."""
        return [request for name, request in self.requests if name == method]

    def _note(self, method: str, request: Any, context: Any) -> None:
        self.requests.append((method, request))
        self.deadlines_s.append(context.time_remaining())

    async def HealthCheck(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's own names, here and below
        self._note("HealthCheck", request, context)
        return q.HealthCheckReply(title="qdrant", version=self.version)

    async def CollectionExists(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._note("CollectionExists", request, context)
        exists = request.collection_name in self.collections
        return q.CollectionExistsResponse(result=q.CollectionExists(exists=exists))

    async def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._note("Create", request, context)
        self.collections[request.collection_name] = request
        return q.CollectionOperationResponse(result=True)

    async def ListAliases(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._note("ListAliases", request, context)
        found = [q.AliasDescription(alias_name=one, collection_name=name) for one, name in self.aliases.items()]
        return q.ListAliasesResponse(aliases=found)

    async def UpdateAliases(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._note("UpdateAliases", request, context)
        for action in request.actions:
            if action.HasField("create_alias"):
                self.aliases[action.create_alias.alias_name] = action.create_alias.collection_name
            else:
                self.aliases.pop(action.delete_alias.alias_name, None)
        return q.CollectionOperationResponse(result=True)

    async def CreateFieldIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._note("CreateFieldIndex", request, context)
        return self._written()

    async def Get(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answer for both services, which have a method of this name."""
        self._note("Get", request, context)
        if isinstance(request, q.GetPoints):
            found = ((one, self._points.get((request.collection_name, one.uuid))) for one in request.ids)
            return q.GetResponse(result=[q.RetrievedPoint(id=one, payload=load) for one, load in found if load])
        made = self.collections[request.collection_name]
        params = q.CollectionParams(
            vectors_config=made.vectors_config,
            replication_factor=made.replication_factor,
            write_consistency_factor=made.write_consistency_factor,
            payload=made.payload,
        )
        config = q.CollectionConfig(
            params=params,
            hnsw_config=q.HnswConfigDiff(m=0, ef_construct=100, full_scan_threshold=10_000),
            optimizer_config=q.OptimizersConfigDiff(
                deleted_threshold=0.2, vacuum_min_vector_number=1000, default_segment_number=0, flush_interval_sec=5
            ),
            wal_config=q.WalConfigDiff(wal_capacity_mb=32, wal_segments_ahead=0),
            quantization_config=made.quantization_config if made.HasField("quantization_config") else None,
        )
        return q.GetCollectionInfoResponse(result=q.CollectionInfo(status=q.CollectionStatus.Green, config=config))

    async def Upsert(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._note("Upsert", request, context)
        for point in request.points:
            self._points.setdefault((request.collection_name, point.id.uuid), point.payload)
        return self._written()

    async def UpdateBatch(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._note("UpdateBatch", request, context)
        return q.UpdateBatchResponse(result=[q.UpdateResult(status=self.status) for _ in request.operations])

    def _written(self) -> Any:
        return q.PointsOperationResponse(result=q.UpdateResult(status=self.status))
