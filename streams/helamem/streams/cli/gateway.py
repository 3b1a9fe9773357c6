"""`helamem up` and `helamem gateway`: a home, over HTTP."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from helamem.schemas.errors import BadInput
from helamem.streams.cli.commands import DEFAULT_HOME, HomeOption, JsonOption, add
from helamem.streams.cli.forgetting import forgetting_beside
from helamem.streams.cli.metrics import LOOPBACK, MetricsHostOption, MetricsOption, measuring
from helamem.streams.cli.output import Waiting, log_from_now, say, show, table
from helamem.streams.cli.session import configured, opened, report
from helamem.streams.cli.signals import stop_at_signals

if TYPE_CHECKING:  # it imports the engine
    from helamem.streams.async_memory import AsyncMemory
    from helamem.streams.gateway.oidc import Oidc
    from helamem.streams.pump import Progress

PORT = 8420
_NEEDED = ("fastapi", "uvicorn")

HostOption = Annotated[
    str, typer.Option("--host", help="Address to answer at; beyond loopback it takes keys: helamem keys add.")
]
PortOption = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to answer at; 0 takes a free one.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add(app, "up", up, "helamem up --home /var/lib/helamem")
    add(app, "gateway", gateway, "helamem gateway --port 8420")


def up(
    *,
    host: HostOption = LOOPBACK,
    port: PortOption = PORT,
    metrics: MetricsOption = None,
    metrics_host: MetricsHostOption = LOOPBACK,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Answer HTTP for a home, and process its log as it grows, until Ctrl-C or SIGTERM: all that one machine needs.

    The home is made where there is none. Without keys only this machine may ask. GET /openapi.json says what. Where the
    setting forgetting.every_days says how often, it applies the policies of forgetting.
    """
    _run(home, host, port, (metrics, metrics_host), follows=True, as_json=json)


def gateway(
    *,
    host: HostOption = LOOPBACK,
    port: PortOption = PORT,
    metrics: MetricsOption = None,
    metrics_host: MetricsHostOption = LOOPBACK,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Answer HTTP for a home without processing its log: what is appended waits for `up` or `run`.

    It recalls what is processed already. While it runs nobody else can write this home.
    """
    _run(home, host, port, (metrics, metrics_host), follows=False, as_json=json)


def missing() -> str:
    """Return in one sentence what answering HTTP lacks, or nothing."""
    lacking = [name for name in _NEEDED if find_spec(name) is None]
    return f"answering HTTP needs {lacking[0]}; install it with: pip install 'helamem[gateway]'" if lacking else ""


def serve_here(home: Path, on_ready: Callable[[str, str], None]) -> None:
    """Answer HTTP for a home on this machine alone, and process its log, until Ctrl-C or SIGTERM.

    Args:
        home: The home.
        on_ready: Told the address, with the usual port or a free one where that is taken, and more of it in words.
    """
    asyncio.run(_serve(home, LOOPBACK, (PORT, 0), (None, LOOPBACK), follows=True, on_ready=on_ready))


def _run(home: Path, host: str, port: int, metrics: tuple[int | None, str], *, follows: bool, as_json: bool) -> None:
    if lacking := missing():
        raise BadInput(lacking)
    log_from_now()

    def on_ready(address: str, more: str) -> None:
        say(f"answering for {home} at {address}{more}; stop with Ctrl-C or SIGTERM")

    counts = asyncio.run(_serve(home, host, (port,), metrics, follows=follows, on_ready=on_ready))
    report(counts)
    rows = sorted(counts.items())
    show(
        {"counts": dict(rows)},
        lambda console: console.print(table(str(home), ("what", "count"), rows, right=("count",))),
        as_json=as_json,
    )


async def _serve(
    home: Path,
    host: str,
    ports: Sequence[int],
    metrics: tuple[int | None, str],
    *,
    follows: bool,
    on_ready: Callable[[str, str], None],
) -> Counter[str]:
    from helamem.streams.gateway.app import build_app  # noqa: PLC0415 - it imports the engine and FastAPI
    from helamem.streams.gateway.held import Held  # noqa: PLC0415 - likewise
    from helamem.streams.gateway.home_behind import HomeBehind  # noqa: PLC0415 - likewise
    from helamem.streams.gateway.keys import Keys  # noqa: PLC0415 - likewise
    from helamem.streams.gateway.pages import pages  # noqa: PLC0415 - likewise
    from helamem.streams.gateway.served import announced  # noqa: PLC0415 - likewise
    from helamem.streams.gateway.server import (  # noqa: PLC0415 - likewise
        address_of,
        check_binding,
        is_loopback,
        listening_at_one,
        server_of,
    )
    from helamem.streams.gateway.service import Service  # noqa: PLC0415 - likewise
    from helamem.streams.metrics import Metrics  # noqa: PLC0415 - it imports arrays
    from helamem.streams.metrics.server import Health  # noqa: PLC0415 - likewise

    keys, waiting, counts = Keys(home), Waiting(), Counter[str]()
    oidc = _oidc()
    check_binding(host, keys, tokens=oidc is not None)

    def on_progress(_: Progress) -> None:
        waiting.over()

    async with measuring(*metrics) as measured:
        counted = measured.metrics or Metrics()

        @asynccontextmanager
        async def memory() -> AsyncIterator[AsyncMemory]:
            async with opened(home, create=follows, on_retry=waiting.note, metrics=counted, recalls=True) as session:
                yield session.memory
                counts.update(session.memory.instance.counts)

        with listening_at_one(host, ports) as listener:
            held = Held(
                memory,
                follows=follows,
                on_progress=on_progress,
                beside=lambda instance: forgetting_beside(instance, waiting),
            )
            health = Health(counted)
            async with held.running():
                service = Service(
                    HomeBehind(home, held),
                    keys=keys,
                    metrics=counted,
                    health=health,
                    open_door=is_loopback(host),
                    oidc=oidc,
                )
                server = server_of(build_app(service))

                def stop() -> None:
                    service.ending.set()
                    server.should_exit = True
                    health.set_ready(ready=False)
                    measured.set_ready(False)

                stop_at_signals(stop)
                health.set_ready(ready=True)
                measured.set_ready(True)
                address = address_of(listener)
                page = f"; the console is at {address}/" if pages() else ""
                anybody = "" if service.names_callers else "; there are no keys, so anybody on this machine may ask"
                with announced(home, address, service.token):
                    async with service.recording():
                        on_ready(address, page + anybody)
                        beating = asyncio.create_task(health.beat())
                        await server.serve(sockets=[listener])
                        beating.cancel()
        return counts


def _oidc() -> Oidc | None:
    """Return whose tokens count besides keys, by the configuration, or None.

    Raises:
        BadInput: The configuration is not valid, or what it takes is not installed.
        ConfigurationError: What it says of the issuer cannot be trusted, or it names none and says more of it.
    """
    # Any of them, also a misspelt one: whoever names an issuer wants no open door.
    named = (variable for variable in os.environ if variable.upper().startswith("HELAMEM_OIDC_"))
    config = configured(next(named, "HELAMEM_OIDC_ISSUER"))
    settings = None if config is None else config.asked_oidc()
    if settings is None:
        return None
    if missing := [name for name in ("jwt", "httpx") if find_spec(name) is None]:
        raise BadInput(f"tokens of an issuer need {missing[0]}; install it with: pip install 'helamem[oidc]'")
    from helamem.streams.gateway.oidc import Oidc  # noqa: PLC0415 - it needs helamem[oidc]

    return Oidc(settings)
