"""`python -m benchmarks.bare_server asgi|fastapi`: a server that does nothing, for what HTTP alone takes.

It is served as the gateway is. `asgi` reads a request and answers; `fastapi` also has the framework check the body of a
message and the answer, as a route of the gateway would.
"""

from __future__ import annotations

import json
import sys

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from helamem.streams.gateway.answers import MessageAppended, PositionOut
from helamem.streams.gateway.requests import MessageIn
from helamem.streams.gateway.server import address_of, listening, run, server_of

_ANSWER = MessageAppended(
    message_id="b1361fab-4f4f-478c-974d-ff604cec9cc5",
    memory_id="407c587c-db49-5ae3-8eb5-7cb384ceae7d",
    position=PositionOut(topic="helamem.conversations.g1", partition=1, offset=1),
    repeated=False,
)
_BODY = _ANSWER.model_dump_json().encode()


async def nothing(_: Scope, receive: Receive, send: Send) -> None:
    """Read a request and answer it."""
    while (await receive()).get("more_body", False):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BODY))]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": _BODY})


def framework() -> ASGIApp:
    """Return an application whose one route takes a message and appends nothing."""
    app = FastAPI()

    @app.post("/v1/spaces/{tenant}/{name}/messages", status_code=201)
    async def append(tenant: str, name: str, said: MessageIn) -> MessageAppended:  # noqa: ARG001 - it is validated
        return _ANSWER

    return app


async def serve(app: ASGIApp) -> None:
    """Serve until somebody ends the process; where is said as the gateway says it."""
    listener = listening("127.0.0.1", 0)
    print(json.dumps({"event": f"answering at {address_of(listener)}; "}), file=sys.stderr, flush=True)
    await server_of(app).serve(sockets=[listener])


if __name__ == "__main__":
    run(serve(nothing if sys.argv[1] == "asgi" else framework()))
