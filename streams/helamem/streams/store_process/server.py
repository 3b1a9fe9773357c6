"""The store process: one owner of a home's store, and many who ask it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from helamem.processors.store.edge_shards import SCHEMA
from helamem.processors.store.edge_writer import CHUNK
from helamem.schemas.errors import RetryLater
from helamem.schemas.settings import Settings
from helamem.streams.home import STORE, Home
from helamem.streams.logs import told
from helamem.streams.store_process import protocol as p
from helamem.streams.store_process.address import bound
from helamem.streams.store_process.connection import Connection
from helamem.streams.store_process.pages import PagedStore
from helamem.streams.store_process.service import Service

if TYPE_CHECKING:
    from helamem.streams.metrics import Metrics

MOST_CLIENTS = 128
"""Connections that have said who they are; one more is told that there are too many."""
FINISH_S = 10.0
"""How long clients may take to fetch their last answers when the process ends."""

_MOST_CONNECTIONS = 2 * MOST_CLIENTS
_BACKLOG = 128


class _MadeFor(Struct, frozen=True, kw_only=True):
    """What a store says of itself that its opener has to know."""

    dimension: int
    language: str


async def serve(
    path: Path,
    stopping: asyncio.Event,
    *,
    dimension: int | None = None,
    language: str | None = None,
    on_ready: Callable[[Path], None] = lambda path: None,
    complain: Callable[[str], None] = lambda sentence: None,
    metrics: Metrics | None = None,
) -> Counter[str]:
    """Serve the store of a home until `stopping` is set, and return what was done.

    It holds the home's writer lock, so no other process of helamem writes there meanwhile, and none may when it
    starts. What was asked for when it stops is finished and answered; then everything is flushed.

    Args:
        path: The home, made where there is none.
        stopping: Ends it.
        dimension: Of the vectors; None takes the store's own, or for a new one that of the default embedder.
        language: Of the keyword index; None takes the store's own, or the default settings'.
        on_ready: Told where it listens, once it answers.
        complain: Told of what an operator should know.
        metrics: Where calls and connections are counted, or None.

    Raises:
        BadInput: The directory is no home, or cannot be used.
        ConfigurationError: Another process writes the home, or its store is for something else.
    """
    with Home.open(path) as home:
        _ = home.projection_of  # raises where a replay has left only half of it
        made_for = _made_for(home.store_path, dimension, language)
        return await serve_held(
            path,
            stopping,
            dimension=made_for.dimension,
            language=made_for.language,
            on_ready=on_ready,
            complain=complain,
            metrics=metrics,
        )


async def serve_held(
    path: Path,
    stopping: asyncio.Event,
    *,
    dimension: int,
    language: str,
    pause_points: int = CHUNK,
    on_ready: Callable[[Path], None] = lambda path: None,
    complain: Callable[[str], None] = lambda sentence: None,
    metrics: Metrics | None = None,
) -> Counter[str]:
    """Do the same in a home that this process holds already, or that whoever started it holds with it."""
    store_path = path / STORE
    with bound(path) as (listening, address):
        store = await PagedStore.open(store_path, dimension=dimension, language=language, pause_points=pause_points)
        try:
            server = _Server(store, _MadeFor(dimension=dimension, language=language), complain, metrics)
            await server.run(listening, stopping, lambda: on_ready(address))
            return server.service.counts
        finally:
            await store.close()


class _Server:
    """Accepts connections and keeps account of them."""

    def __init__(
        self, store: PagedStore, made_for: _MadeFor, complain: Callable[[str], None], metrics: Metrics | None
    ) -> None:
        self.service = Service(store, complain, metrics=metrics)
        self._metrics = metrics
        self.complain = complain
        self.large = asyncio.Lock()
        self.welcome = p.Welcome(
            version=p.VERSION,
            process=uuid.uuid4().hex,
            dimension=made_for.dimension,
            language=made_for.language,
            schema=SCHEMA,
        )
        self._connections: set[Connection] = set()
        self._clients: dict[str, Connection] = {}

    async def run(self, listening: socket.socket, stopping: asyncio.Event, on_ready: Callable[[], None]) -> None:
        accepting = await asyncio.start_unix_server(self._serve, sock=listening, backlog=_BACKLOG)
        optimizing = asyncio.create_task(self.service.optimize_when_idle())
        try:
            on_ready()
            await stopping.wait()
        finally:
            optimizing.cancel()
            accepting.close()
            await self._finish()
            await asyncio.wait({optimizing})

    async def enter(self, client: str, connection: Connection) -> None:
        """Put a connection in the place of the client's last one, so that the order of its writes is kept.

        Raises:
            RetryLater: There are too many.
        """
        last = self._clients.get(client)
        if last is None and len(self._clients) >= MOST_CLIENTS:
            raise RetryLater(f"the store process has {MOST_CLIENTS} connections and takes no more; close some")
        self._clients[client] = connection
        if last is not None:
            last.abort()
            await last.ended.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer, self)
        if len(self._connections) >= _MOST_CONNECTIONS:
            writer.close()
            return
        self._connections.add(connection)
        self._count_connections()
        self.service.counts["connections"] += 1
        try:
            await connection.run()
        except Exception as error:  # noqa: BLE001 - one connection's mistake must not end the others
            self.complain(f"a connection ended by a mistake of the store process: {told(error)}; report it")
        finally:
            self._connections.discard(connection)
            self._count_connections()
            self._clients = {client: c for client, c in self._clients.items() if c is not connection}

    def _count_connections(self) -> None:
        if self._metrics is not None:
            from helamem.streams.metrics.catalogue import STORE_CONNECTIONS  # noqa: PLC0415 - nobody else needs it

            self._metrics.set(STORE_CONNECTIONS, len(self._connections))

    async def _finish(self) -> None:
        connections = list(self._connections)
        for connection in connections:
            connection.finish()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINISH_S):
                for connection in connections:
                    await connection.ended.wait()
        for connection in connections:
            connection.abort()


def _made_for(store: Path, dimension: int | None, language: str | None) -> _MadeFor:
    """Return what to open the store for: what is asked for, or else what it says, or else what a new one gets."""
    try:
        found = msgspec.json.decode((store / "store.json").read_bytes(), type=_MadeFor)
    except (OSError, msgspec.MsgspecError):  # none yet; of a damaged one the store tells itself
        found = None
    if dimension is None:
        dimension = found.dimension if found else _default_dimension()
    if language is None:
        language = found.language if found else Settings().encoding.language
    return _MadeFor(dimension=dimension, language=language)


def _default_dimension() -> int:
    from helamem.processors.embedder.wordllama import WordLlamaEmbedder  # noqa: PLC0415 - takes long

    return WordLlamaEmbedder.dimension
