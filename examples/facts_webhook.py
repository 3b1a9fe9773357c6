"""A platform adds an agent of its own: every distilled fact is posted to a web address.

Run it beside the workers of helamem, with the same configuration (`helamem config`)::

    WEBHOOK_URL=https://platform.example/facts python examples/facts_webhook.py

or in the same process as one of them::

    WEBHOOK_URL=https://platform.example/facts PYTHONPATH=examples helamem worker all --app facts_webhook:app

The application has a name of its own: that is the consumer group in which its position is kept, and several of these
processes share the facts among them. A fact may be posted twice, after a crash; `Idempotency-Key` says that it is the
same. While the address is away the agent waits, and nothing is lost; what it refuses for good (a status of 4xx) goes
to the dead letters, where `helamem dead-letters redrive` finds it.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
import os
import sys
import urllib.error
import urllib.request

import orjson

from helamem.schemas.errors import Poison, RetryLater
from helamem.schemas.events import KnowledgeDistilled
from helamem.schemas.topics import DEAD_LETTERS, FACTS
from helamem.streams.config import load_config
from helamem.streams.fleet.agents import safe_agent
from helamem.streams.fleet.app import build_app
from helamem.streams.fleet.codec import Arrival
from helamem.streams.fleet.faust_worker import run_worker

TIMEOUT_S = 10.0
URL = os.environ.get("WEBHOOK_URL", "http://localhost:8000/facts")

app = build_app(
    load_config().kafka(),
    [FACTS, DEAD_LETTERS],
    name=os.environ.get("WEBHOOK_NAME", "platform-webhook"),
)


@safe_agent(app, app.topics.facts, name="webhook", group=app.conf.id)
async def webhook(arrival: Arrival) -> None:
    """Post a fact; retractions are not told."""
    if isinstance(arrival.event.data, KnowledgeDistilled):
        fact = arrival.event.data
        body = orjson.dumps({"space": arrival.event.space, "id": fact.fact_id, "text": fact.text})
        await asyncio.to_thread(post, body, arrival.event.id)  # urllib blocks; the loop must not


def post(body: bytes, key: str) -> None:
    """Post one fact.

    Raises:
        RetryLater: The address is away.
        Poison: It does not want this fact.
    """
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    request = urllib.request.Request(URL, body, headers, method="POST")  # noqa: S310 - whoever runs this sets it
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310 - likewise
            return
    except urllib.error.HTTPError as error:
        with error:
            if 400 <= error.code < 500 and error.code not in {408, 425, 429}:
                raise Poison(f"{URL} refused the fact with status {error.code}") from error
            raise RetryLater(f"{URL} answered {error.code}") from error
    except (OSError, http.client.HTTPException) as error:
        raise RetryLater(f"{URL} is away ({error})") from error


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    sys.exit(asyncio.run(run_worker(app)))
