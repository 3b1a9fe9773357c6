"""HTTP as uvicorn reads it by httptools, with a bound on what stands before a body: neither of the two has any.

What is not handed on yet is kept in memory, and whoever sends it was not asked for a key: a header without an end would
take all there is.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from helamem.streams.gateway.problems import MOST_HEAD_BYTES, too_many_headers


class BoundedProtocol(HttpToolsProtocol):
    """Refuses whoever sends more than so much that is no body."""

    _kept_bytes = 0
    """Received since something was last handed on."""
    _in_head = False

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

    def _refuse(self) -> None:
        answered = self.cycle is None or self.cycle.response_complete
        if self._in_head and answered:  # else an answer to the request before would be torn in two
            answer = too_many_headers().response()
            fields = [*answer.raw_headers, (b"connection", b"close")]
            head = b"".join(b"%s: %s\r\n" % field for field in fields)
            self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\n" + head + b"\r\n" + answer.body)
        self.transport.close()
