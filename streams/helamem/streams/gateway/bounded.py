"""HTTP as uvicorn reads it by httptools, with a bound on what stands before a body: neither of the two has any.

What is not handed on yet is kept in memory, and whoever sends it was not asked for a key: a header without an end would
take all there is. Answers are sent in one piece, where uvicorn sends their head alone.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from helamem.streams.gateway.problems import MOST_HEAD_BYTES, too_many_headers


class Together(asyncio.Transport):
    """Sends what is written in one turn of the event loop together: an answer's head goes with its body.

    Each packet costs the server, and who waits for it, about as much as all the reading of a request.

    Args:
        transport: By which it is sent.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._held: Any = None
        self._loop = asyncio.get_running_loop()

    def write(self, data: Any) -> None:
        """Send bytes with those that are held, or hold them until others follow or the turn ends."""
        if self._held is None:
            self._held = data
            self._loop.call_soon(self.flush)
        else:
            self._held = b"".join((self._held, data))
            self.flush()

    def flush(self) -> None:
        """Send what is held, unless whom it is for has gone: uvloop takes nothing any more then, and says so loudly."""
        held, self._held = self._held, None
        if held is not None and not self._transport.is_closing():
            self._transport.write(held)

    def is_closing(self) -> bool:
        """Return whether nothing can be sent any more."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Close the connection once all is sent."""
        self.flush()
        self._transport.close()


class BoundedProtocol(HttpToolsProtocol):
    """Refuses whoever sends more than so much that is no body."""

    _kept_bytes = 0
    """Received since something was last handed on."""
    _in_head = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin a connection."""
        super().connection_made(transport)
        self._answers = Together(transport)

    def data_received(self, data: bytes) -> None:
        """Read on; a body is handed on as it comes."""
        self._kept_bytes += len(data)
        super().data_received(data)
        if self._kept_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
            self._refuse()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """Hand a request on."""
        super().on_headers_complete()
        self.cycle.transport = self._answers
        self._in_head = False
        self._kept_bytes = 0

    def on_body(self, body: bytes) -> None:
        """Hand a part of a body on."""
        super().on_body(body)
        self._kept_bytes = 0

    def on_message_complete(self) -> None:
        """End a request."""
        super().on_message_complete()
        self._kept_bytes = 0

    def on_response_complete(self) -> None:
        """Go on with the next request; an answer without a body has nothing to wait for."""
        self._answers.flush()
        super().on_response_complete()

    def _refuse(self) -> None:
        answered = self.cycle is None or self.cycle.response_complete
        if self._in_head and answered:  # else an answer to the request before would be torn in two
            answer = too_many_headers().response()
            fields = [*answer.raw_headers, (b"connection", b"close")]
            head = b"".join(b"%s: %s\r\n" % field for field in fields)
            self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\n" + head + b"\r\n" + answer.body)
        self.transport.close()
