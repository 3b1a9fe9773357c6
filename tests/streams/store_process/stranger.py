"""A client that speaks in bytes, so that it can say what ours never would."""

from __future__ import annotations

import socket
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from helamem.streams.store_process import protocol as p
from helamem.streams.store_process.address import find
from helamem.streams.store_process.frames import framed


class Stranger:
    """A blocking connection to the store process of a home.

    Args:
        home: Its directory.
        greet: Whether it says who it is, and waits for the answer.
        client: Who it says it is; by default nobody else.
    """

    def __init__(self, home: Path, *, greet: bool = True, client: str = "") -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(str(find(home)))
        if greet:
            self.send(p.encode(p.Hello(protocol=p.PROTOCOL, version=p.VERSION, client=client or uuid.uuid4().hex)))
            assert isinstance(p.decode_greeting(self.receive()), p.Welcome)

    def send(self, body: bytes) -> None:
        self.socket.sendall(framed(body))

    def ask(self, number: int, call: object) -> None:
        self.send(p.encode((number, call)))

    def receive(self) -> bytes:
        """Return the next frame; nothing where the other side has ended."""
        return self._exactly(int.from_bytes(self._exactly(4)))

    def answer(self) -> p.Answer:
        return p.decode_answer(self.receive())

    def _exactly(self, length: int) -> bytes:
        received = b""
        while len(received) < length and (more := self.socket.recv(length - len(received))):
            received += more
        return received

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()
