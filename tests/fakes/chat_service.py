"""A service on this machine that speaks `/v1/chat/completions`, and misbehaves as it is told to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import orjson

Asked = dict[str, Any]
"""The body of a call."""


class Reply(NamedTuple):
    """What goes back."""

    body: bytes
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    before_s: float = 0.0
    """Wait before anything is sent."""
    drip_s: float = 0.0
    """Wait before each byte."""


class ChatService:
    """What the service answers, and what it was asked.

    Attributes:
        reply: Makes the reply to a call.
        calls: The bodies of all calls, in order.
        keys: What stood in the header `authorization` of each.
        url: Address up to `/v1`.
    """

    def __init__(self) -> None:
        self.reply: Callable[[Asked], Reply] = lambda asked: says(statements())
        self.calls: list[Asked] = []
        self.keys: list[str | None] = []
        self.at_once = self.most_at_once = 0
        self.url = ""
        self.lock = threading.Lock()


def shown(asked: Asked) -> list[dict[str, str]]:
    """Return the messages of the conversation that a call shows to the model."""
    messages: list[dict[str, str]] = orjson.loads(asked["messages"][1]["content"])["messages"]
    return messages


def statement(text: str, *evidence: str, kind: str = "fact", subject: str = "Anna", sure: int = 90) -> dict[str, Any]:
    """Return a statement as a model writes it."""
    return {"kind": kind, "subject": subject, "text": text, "confidence": sure, "evidence": list(evidence)}


def statements(*written: dict[str, Any]) -> str:
    """Return what a model says that keeps to the form."""
    return orjson.dumps({"statements": list(written)}).decode()


def says(text: str | None, *, model: str = "g-2026", tokens: tuple[int, int] | None = (100, 20)) -> Reply:
    """Return a chat completion."""
    body: dict[str, Any] = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}],
        "model": model,
    }
    if tokens is not None:
        body["usage"] = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
    return Reply(orjson.dumps(body))


def quoting(asked: Asked) -> Reply:
    """Return a good answer: one fact for each message that tells something, in its speaker's name."""
    told = [one for one in shown(asked) if "?" not in one["text"]]
    return says(
        statements(*(statement(f"{m['speaker']} says: {m['text']}", m["id"], subject=m["speaker"]) for m in told))
    )


def in_turn(*replies: Reply | Callable[[Asked], Reply]) -> Callable[[Asked], Reply]:
    """Return what gives one reply after the other to each question, and then the last one again and again."""
    seen: dict[bytes, int] = {}

    def reply(asked: Asked) -> Reply:
        key = orjson.dumps(asked["messages"][1]["content"] if len(asked["messages"]) > 1 else "probe")
        number = seen.get(key, 0)
        seen[key] = number + 1
        one = replies[min(number, len(replies) - 1)]
        return one if isinstance(one, Reply) else one(asked)

    return reply


def refusing(status: int, *, headers: Sequence[tuple[str, str]] = ()) -> Reply:
    """Return an error as services send it."""
    return Reply(orjson.dumps({"error": {"message": "no", "type": "x"}}), status, tuple(headers))


@contextmanager
def chatting() -> Iterator[ChatService]:
    """Start the service, and end it."""
    known = ChatService()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = orjson.loads(self.rfile.read(int(self.headers["content-length"])))
            with known.lock:
                known.calls.append(asked)
                known.keys.append(self.headers.get("authorization"))
                known.at_once += 1
                known.most_at_once = max(known.most_at_once, known.at_once)
                reply = known.reply(asked) if self.path == "/v1/chat/completions" else refusing(404)
            time.sleep(reply.before_s)
            with known.lock:
                known.at_once -= 1
            with suppress(BrokenPipeError, ConnectionResetError):  # whoever asked had enough
                self.send_response(reply.status)
                for name, value in reply.headers:
                    self.send_header(name, value)
                self.send_header("content-length", str(len(reply.body)))
                self.end_headers()
                if not reply.drip_s:
                    self.wfile.write(reply.body)
                    return
                for byte in reply.body:
                    time.sleep(reply.drip_s)
                    self.wfile.write(bytes([byte]))

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    known.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield known
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
