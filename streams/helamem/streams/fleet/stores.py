"""The fleet's store, all that there is of it: every build on a Qdrant server, or the one store of a store process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from helamem.processors.embedder.port import Embedder
from helamem.processors.store.port import MemoryStore
from helamem.processors.store.qdrant import QdrantStore
from helamem.processors.store.qdrant_builds import Collections, build_in_use, builds_there
from helamem.processors.store.qdrant_collections import dimension_of, translated
from helamem.schemas.errors import BadInput, RetryLater
from helamem.streams.builds import Server
from helamem.streams.config import Config
from helamem.streams.erasure.fleet import Build
from helamem.streams.fleet.worker import open_store, qdrant_client
from helamem.streams.lag import READS, ends_of, left_before
from helamem.streams.log.port import Log

LOOK_AGAIN_S = 0.1
PATIENCE_S = 30.0
"""How long nothing may become less before workers count as absent."""


@asynccontextmanager
async def all_builds(config: Config, embedder: Embedder) -> AsyncIterator[list[Build]]:
    """Open every build of the store that the configuration names.

    Raises:
        RetryLater: It is away.
        ConfigurationError: It was made for another embedder or version.
        BadInput: There is no store yet.
    """
    if config.store == "process":
        async with open_store(config, embedder) as store:
            yield [Build(None, in_use=True, store=store)]
        return
    client = qdrant_client(config)
    try:
        yield await builds_on(Server(client=client, prefix=config.qdrant_prefix, settings=config.qdrant()))
    finally:
        await client.close()


async def builds_on(server: Server) -> list[Build]:
    """Return the builds on a Qdrant server, oldest first; each has vectors of its own length.

    Raises:
        BadInput: There is none.
    """
    with translated():
        in_use = await build_in_use(server.client, server.prefix)
        there = await builds_there(server.client, server.prefix)
    if in_use is None:
        raise BadInput(f"the Qdrant server has no store {server.prefix} yet; start a worker, which makes it")
    builds = []
    for number in there:
        with translated():
            dimension = await dimension_of(server.client, Collections(server.prefix, number))
        store = await QdrantStore.open(
            server.client, dimension=dimension, prefix=server.prefix, settings=server.settings, build=number
        )
        builds.append(Build(number, in_use=number == in_use, store=store))
    return builds


async def caught_up(log: Log, store: MemoryStore, patience_s: float = PATIENCE_S) -> None:
    """Return once workers have processed all that is in the log now, and all that followed from it.

    What comes in meanwhile is not waited for, so it ends while people speak.

    Args:
        log: The fleet's.
        store: What they write to; its checkpoints say how far they have come.
        patience_s: How long nothing may happen.

    Raises:
        RetryLater: Something is left, and nobody does it.
    """
    loop = asyncio.get_running_loop()
    for _ in READS:  # what one group tells, the next one reads
        ends = await ends_of(log)
        fewest, moved_s = None, loop.time()
        while left := await left_before(ends, log, store):
            if fewest is None or left < fewest:
                fewest, moved_s = left, loop.time()
            elif loop.time() - moved_s > patience_s:
                raise RetryLater(
                    f"workers have yet to process {left:,} records, and nobody does; start them, and do the same again"
                )
            await asyncio.sleep(LOOK_AGAIN_S)
