"""Erasing from the fleet that the configuration names, whoever asks for it."""

from __future__ import annotations

from helamem.processors.embedder.port import Embedder
from helamem.streams.config import Config
from helamem.streams.erasure.fleet import FleetErasure, erase_in_fleet
from helamem.streams.fleet.stores import all_builds, caught_up
from helamem.streams.log.port import Log
from helamem.streams.sealing.keys import KeyStore


async def erase_from_all_builds(
    config: Config,
    log: Log,
    keys: KeyStore | None,
    embedder: Embedder,
    *,
    space: str,
    subject: str,
    dry_run: bool,
) -> FleetErasure:
    """Open every build of the store, and erase a data subject from all of them; see `erase_in_fleet`.

    Args:
        config: Where the store is.
        log: The fleet's; it seals what is appended.
        keys: What seals words, or None where none are sealed.
        embedder: What gives the vectors.
        space: Where.
        subject: Who, as messages name their data subjects.
        dry_run: Only say what would be erased.

    Raises:
        BadInput: Nothing in the space is theirs, or there is no store yet.
        RetryLater: Kafka, the store or workers are away; the same erasure goes on from there.
    """
    async with all_builds(config, embedder) as builds:
        live = next(one.store for one in builds if one.in_use)
        return await erase_in_fleet(
            log,
            builds,
            keys,
            space=space,
            subject=subject,
            embedder=embedder.name,
            caught_up=lambda: caught_up(log, live),
            dry_run=dry_run,
        )
