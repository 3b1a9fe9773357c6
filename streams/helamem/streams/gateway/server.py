"""Uvicorn around the application: where it listens, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import Coroutine, Iterator, Sequence
from importlib.util import find_spec
from typing import Any, Literal, TypeVar

import uvicorn
from starlette.types import ASGIApp

from helamem.schemas.errors import BadInput
from helamem.streams.gateway.keys import Keys

T = TypeVar("T")

GRACE_S = 5
"""How long requests that are being answered may take when the gateway stops."""
_KEEP_ALIVE_S = 30
_BACKLOG = 1024


class Server(uvicorn.Server):
    """A server that leaves signals to the command that runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signal."""
        yield


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, on the quicker event loop where that is installed: an append takes a tenth less."""
    if find_spec("uvloop") is None:
        return asyncio.run(main)
    import uvloop  # noqa: PLC0415 - it is there for some platforms only

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach what listens at an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_binding(host: str, keys: Keys, *, tokens: bool = False) -> None:
    """Refuse to let everybody in.

    Args:
        host: The address.
        keys: Who may ask.
        tokens: Whether an issuer says it besides.

    Raises:
        BadInput: Others can reach the address, and there is no key.
    """
    if not tokens and not is_loopback(host) and not any(key.revoked_ms is None for key in keys.all()):
        raise BadInput(
            f"others can reach {host}, and no key says who may ask; make one first with: helamem keys add --tenant "
            "TENANT --rights append,recall"
        )


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: Address of this machine.
        port: 0 takes any that is free.

    Raises:
        BadInput: The port cannot be had.
    """
    # The protocol is named: asyncio turns Nagle's algorithm off only then, and answers would wait 40 ms for it.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        why = error.strerror if isinstance(error, OSError) else "there is no such port"
        raise BadInput(f"port {port} of {host} cannot be had: {why}; name another one with --port") from None
    return listener


def listening_at_one(host: str, ports: Sequence[int]) -> socket.socket:
    """Return a socket that listens at the first of some ports that can be had.

    Raises:
        BadInput: None can be had; what is said is of the last.
    """
    for port in ports[:-1]:
        with contextlib.suppress(BadInput):
            return listening(host, port)
    return listening(host, ports[-1])


def address_of(listener: socket.socket) -> str:
    """Return where a socket is reached, as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def server_of(app: ASGIApp, *, lifespan: Literal["on", "off"] = "off") -> Server:
    """Return a server for an application, yet to be started; it logs nothing of requests.

    Args:
        app: The application.
        lifespan: Whether it is told that the server begins and ends.
    """
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # what is no HTTP is no matter of ours
    return Server(
        uvicorn.Config(
            app,
            http=_http(),
            log_config=None,
            access_log=False,
            lifespan=lifespan,
            ws="none",
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
    )


def _http() -> type[asyncio.Protocol] | Literal["h11"]:
    """Return what reads requests: h11 has a bound of its own, and httptools, which is faster, is given one."""
    if find_spec("httptools") is None:
        return "h11"
    from helamem.streams.gateway.bounded import BoundedProtocol  # noqa: PLC0415 - it needs httptools

    return BoundedProtocol
