"""Asking a gateway that runs in this process."""

from __future__ import annotations

from typing import Any, Self

import httpx
from starlette.types import ASGIApp

from helamem.streams.async_memory import AsyncMemory
from helamem.streams.gateway.home_behind import HomeBehind
from helamem.streams.gateway.rights import RIGHTS, Right
from helamem.streams.gateway.service import Service

SPACE = "/v1/spaces/acme/mira"
ADDRESS = "http://127.0.0.1:8420"


def said(text: str = "We have moved from Lisbon to Bergen.", **other: object) -> dict[str, Any]:
    """Return a message as it is sent."""
    return {
        "conversation": "monday",
        "speaker": "Mira",
        "text": text,
        "time": "2025-05-12T18:00:00Z",
        **other,
    }


class Gateway:
    """A gateway and a client of it."""

    def __init__(self, app: ASGIApp, service: Service, behind: HomeBehind) -> None:
        self.app = app
        self.service = service
        self.held = behind.held
        self.home = behind.home
        self.client = self.client_of()

    @property
    def memory(self) -> AsyncMemory:
        """What answers now."""
        with self.held.use() as memory:
            return memory

    def client_of(self, key: str | None = None) -> httpx.AsyncClient:
        """Return a client that shows a key."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=True), base_url=ADDRESS, headers=headers
        )

    def key(self, tenant: str = "acme", *rights: Right, spaces: tuple[str, ...] = ("*",), **other: Any) -> str:
        """Make a key, with all rights unless some are named."""
        return self.service.keys.add(
            tenant=tenant,
            spaces=spaces,
            rights=rights or RIGHTS,
            **{"note": "", "per_s": None, "clock": lambda: 0, **other},
        )[1]

    async def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        """Send JSON."""
        return await self.client.post(path, json=body, **options)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        """Ask for something."""
        return await self.client.get(path, **options)

    async def remember(self, *texts: str, space: str = SPACE) -> list[str]:
        """Append what was said, wait until it can be recalled, and return the ids of the memories."""
        batch = {"messages": [said(text, message_id=f"m{number}") for number, text in enumerate(texts)]}
        answer = await self.post(f"{space}/messages/batch?wait=searchable", batch)
        assert answer.json()["searchable"], answer.text
        return [one["memory_id"] for one in answer.json()["messages"]]

    async def settle(self) -> None:
        """Wait until all that is in the log is processed, and what follows from it."""
        async with self.held.closed("it is processed"), self.held.open() as memory:
            await memory.process()

    async def records(self, topic: str) -> int:
        """Return how many records a topic of the log holds, settings included."""
        log = self.memory.instance.log
        return sum((await log.end_offsets(await log.partitions(topic))).values())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()
