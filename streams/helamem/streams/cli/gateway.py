"""`helamem up` and `helamem gateway`: a home or a fleet, over HTTP."""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from helamem.schemas.errors import BadInput, ConfigurationError
from helamem.schemas.topics import CONVERSATIONS
from helamem.streams.cli.commands import DEFAULT_HOME, HomeOption, JsonOption, add
from helamem.streams.cli.forgetting import forgetting_beside
from helamem.streams.cli.kafka import KafkaOption, only_one
from helamem.streams.cli.metrics import LOOPBACK, MetricsHostOption, MetricsOption, measuring
from helamem.streams.cli.output import Waiting, log_from_now, say, show, table
from helamem.streams.cli.session import configured, configured_reranker, opened, report
from helamem.streams.cli.signals import stop_at_signals
from helamem.streams.cli.tracing import tracing
from helamem.streams.cli.worker import Outages

if TYPE_CHECKING:  # it imports the engine
    from helamem.streams.async_memory import AsyncMemory, Memory
    from helamem.streams.config import Config
    from helamem.streams.gateway.behind import Behind
    from helamem.streams.gateway.keys import Keys
    from helamem.streams.gateway.oidc import Oidc
    from helamem.streams.metrics import Metrics
    from helamem.streams.pump import Progress

    Standing = Callable[[Metrics, Callable[[bool], None]], AbstractAsyncContextManager[Behind]]

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
    context: typer.Context,
    *,
    kafka: KafkaOption = False,
    host: HostOption = LOOPBACK,
    port: PortOption = PORT,
    metrics: MetricsOption = None,
    metrics_host: MetricsHostOption = LOOPBACK,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Answer HTTP for a home without processing its log: what is appended waits for `up` or `run`.

    It recalls what is processed already. While it runs nobody else can write this home. With --kafka it answers for the
    fleet, whose workers process what it appends, and keeps nothing: any number of gateways may do so. API keys are then
    in the file that HELAMEM_GATEWAY_KEYS names.
    """
    only_one(context, kafka=kafka)
    if kafka:
        _run_for_fleet(host, port, (metrics, metrics_host), as_json=json)
        return
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
    from helamem.streams.gateway.server import run  # noqa: PLC0415 - it imports uvicorn

    run(_serve_home(home, LOOPBACK, (PORT, 0), (None, LOOPBACK), follows=True, on_ready=on_ready))


def _run(home: Path, host: str, port: int, metrics: tuple[int | None, str], *, follows: bool, as_json: bool) -> None:
    if lacking := missing():
        raise BadInput(lacking)
    from helamem.streams.gateway.server import run  # noqa: PLC0415 - it imports uvicorn

    log_from_now()

    def on_ready(address: str, more: str) -> None:
        say(f"answering for {home} at {address}{more}; stop with Ctrl-C or SIGTERM")

    counts = run(_serve_home(home, host, (port,), metrics, follows=follows, on_ready=on_ready))
    report(counts)
    rows = sorted(counts.items())
    show(
        {"counts": dict(rows)},
        lambda console: console.print(table(str(home), ("what", "count"), rows, right=("count",))),
        as_json=as_json,
    )


def _run_for_fleet(host: str, port: int, metrics: tuple[int | None, str], *, as_json: bool) -> None:
    if lacking := missing():
        raise BadInput(lacking)
    from helamem.streams.config import load_config  # noqa: PLC0415 - it imports aiokafka
    from helamem.streams.gateway.server import run  # noqa: PLC0415 - it imports uvicorn

    config = load_config()
    log_from_now(config.log_level)

    def on_ready(address: str, more: str) -> None:
        say(
            f"answering for the fleet on Kafka at {config.kafka_servers} at {address}{more}; "
            "stop with Ctrl-C or SIGTERM"
        )

    run(_serve_fleet(config, host, port, metrics, on_ready))
    show({"counts": {}}, lambda console: None, as_json=as_json)


async def _serve_home(
    home: Path,
    host: str,
    ports: Sequence[int],
    metrics: tuple[int | None, str],
    *,
    follows: bool,
    on_ready: Callable[[str, str], None],
) -> Counter[str]:
    from helamem.streams.gateway.held import Held  # noqa: PLC0415 - it imports the engine
    from helamem.streams.gateway.home_behind import HomeBehind  # noqa: PLC0415 - likewise
    from helamem.streams.gateway.keys import Keys  # noqa: PLC0415 - likewise
    from helamem.streams.gateway.served import announced  # noqa: PLC0415 - likewise

    waiting, counts = Waiting(), Counter[str]()

    def on_progress(_: Progress) -> None:
        waiting.over()

    @asynccontextmanager
    async def standing(counted: Metrics, set_ready: Callable[[bool], None]) -> AsyncIterator[Behind]:
        @asynccontextmanager
        async def memory() -> AsyncIterator[AsyncMemory]:
            async with opened(home, create=follows, on_retry=waiting.note, metrics=counted, recalls=True) as session:
                yield session.memory
                counts.update(session.memory.instance.counts)

        held = Held(
            memory,
            follows=follows,
            on_progress=on_progress,
            beside=lambda instance: forgetting_beside(instance, waiting),
        )
        async with held.running():
            set_ready(True)
            yield HomeBehind(home, held)

    at = _At(host, ports, metrics)
    await _serve(at, Keys(home), standing, on_ready, announcing=lambda address, token: announced(home, address, token))
    return counts


async def _serve_fleet(
    config: Config, host: str, port: int, metrics: tuple[int | None, str], on_ready: Callable[[str, str], None]
) -> None:
    from helamem.streams.async_memory import Memory  # noqa: PLC0415 - it imports the engine
    from helamem.streams.fleet.backing import fleet_backing  # noqa: PLC0415 - likewise
    from helamem.streams.gateway.fleet_behind import FleetBehind  # noqa: PLC0415 - likewise
    from helamem.streams.log.kafka_generations import in_use  # noqa: PLC0415 - it imports aiokafka

    waiting, reranker = Outages(), configured_reranker()
    keys = fleet_keys(config, host)

    @asynccontextmanager
    async def standing(counted: Metrics, set_ready: Callable[[bool], None]) -> AsyncIterator[Behind]:
        def note(ready: bool) -> None:  # noqa: FBT001 - what else
            set_ready(ready)
            if ready:
                waiting.over()

        async def generation() -> int:
            (now,) = await in_use(config.kafka(), [CONVERSATIONS])
            return now.generation

        @asynccontextmanager
        async def memory() -> AsyncIterator[Memory]:
            with tracing("kafka", config.traces) as traced:
                async with fleet_backing(config, metrics=counted, tracing=traced) as backing:
                    memory = Memory(backing, reranker=reranker, recall_audit=config.recall_audit)
                    async with memory:
                        yield memory

        behind = FleetBehind(config, memory, generation=generation, set_ready=note, on_retry=waiting.note)
        async with behind.running():
            yield behind

    at = _At(host, (port,), metrics)
    await _serve(at, keys, standing, on_ready, closed=config.gateway_keys is not None)


def fleet_keys(config: Config, host: str) -> Keys:
    """Return the keys of the fleet's gateways.

    Raises:
        BadInput: Others can reach the address, and there is neither a file nor an issuer.
        ConfigurationError: The file that is configured is not there.
    """
    from helamem.streams.gateway.keys import Keys  # noqa: PLC0415 - it imports FastAPI
    from helamem.streams.gateway.server import is_loopback  # noqa: PLC0415 - likewise

    path = config.gateway_keys
    if path is None and config.oidc_issuer is None and not is_loopback(host):
        raise BadInput(
            f"others can reach {host}, and no key says who may ask; make one with: helamem keys add --file keys.json "
            "--tenant TENANT --rights append,recall, and name the file with HELAMEM_GATEWAY_KEYS"
        )
    if path is None:
        return Keys(None)
    if not path.is_file():
        raise ConfigurationError(
            f"there is no file {path}, which HELAMEM_GATEWAY_KEYS names; make a key in it with: helamem keys add "
            f"--file {path} --tenant TENANT --rights append,recall"
        )
    return Keys(path.parent, path.name, gateways=config.gateways)


class _At(NamedTuple):
    """Where is answered."""

    host: str
    ports: Sequence[int]
    metrics: tuple[int | None, str]


async def _serve(
    at: _At,
    keys: Keys,
    standing: Standing,
    on_ready: Callable[[str, str], None],
    *,
    announcing: Callable[[str, str], AbstractContextManager[None]] = lambda address, token: nullcontext(),
    closed: bool = False,
) -> None:
    """Answer until Ctrl-C or SIGTERM.

    Args:
        at: Where.
        keys: Who may ask.
        standing: What is answered for; says itself when that is ready.
        on_ready: Told the address, and more of it in words.
        announcing: Given address and token as long as it is answered.
        closed: Whether nobody may ask without a key, also where there are none.
    """
    from helamem.streams.gateway.app import build_app  # noqa: PLC0415 - it imports the engine and FastAPI
    from helamem.streams.gateway.pages import pages  # noqa: PLC0415 - likewise
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

    # What was imported stays: each full collection would look at it again, 20 ms in which nobody is answered.
    gc.collect()
    gc.freeze()
    oidc = _oidc()
    check_binding(at.host, keys, tokens=oidc is not None)
    async with measuring(*at.metrics) as measured:
        counted = measured.metrics or Metrics()
        health = Health(counted)
        stopping = asyncio.Event()

        def set_ready(ready: bool) -> None:  # noqa: FBT001 - what else
            health.set_ready(ready and not stopping.is_set())
            measured.set_ready(ready and not stopping.is_set())

        with listening_at_one(at.host, at.ports) as listener:
            async with standing(counted, set_ready) as behind:
                open_door = is_loopback(at.host) and not closed
                service = Service(behind, keys=keys, metrics=counted, health=health, open_door=open_door, oidc=oidc)
                server = server_of(build_app(service))

                def stop() -> None:
                    stopping.set()
                    service.ending.set()
                    server.should_exit = True
                    set_ready(False)

                stop_at_signals(stop)
                address = address_of(listener)
                page = f"; the console is at {address}/" if pages() else ""
                named = service.names_callers or closed
                anybody = "" if named else "; there are no keys, so anybody on this machine may ask"
                with announcing(address, service.token):
                    async with service.recording():
                        on_ready(address, page + anybody)
                        beating = asyncio.create_task(health.beat())
                        await server.serve(sockets=[listener])
                        beating.cancel()


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
