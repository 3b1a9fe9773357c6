"""What a long-running process logs, on its standard error: a JSON object a line, or words where a person looks on.

Everybody logs by the standard library's `logging`, with what belongs to a line as `extra`; structlog draws all of it
alike. No line holds what somebody wrote: an exception is told by its type and by where it was raised, since its text
may quote the record that provoked it, and clients of other projects never log below `info`, where they show what they
send.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

import orjson

from helamem.schemas.errors import Poison
from helamem.schemas.ids import space_hash
from helamem.schemas.records import Record
from helamem.schemas.traceparent import parse
from helamem.schemas.wire import Event

if TYPE_CHECKING:  # it takes longer to load than most of what a short command does
    import structlog
    from structlog.typing import EventDict, WrappedLogger

LEVELS = ("debug", "info", "warning", "error")
_CLIENTS = ("aiokafka", "faust", "mode", "kafka", "qdrant_client", "httpx", "httpcore", "grpc", "urllib3", "botocore")
"""They say the same again and again while something is away, which we say once."""
_SERVICES = ("helamem.streams.fleet.app", "helamem.streams.fleet.faust_services")
"""Loggers in which Faust tells of the lives of services, under the names of the modules that hold them."""
_TALKATIVE = ("asyncio", "py.warnings")
"""What they say after the first line shows the objects that it is about; asyncio's first line may show some too."""
_OBJECTS = re.compile(r"[(<].*")
_FRAMES = 12

_log = logging.getLogger(__name__)
logging.getLogger("helamem").addHandler(logging.NullHandler())  # a library leaves it to its user who listens


def begin(level: str, stream: TextIO | None = None) -> None:
    """Have the whole process log from now on, also what it never caught.

    Args:
        level: One of `LEVELS`.
        stream: Where to; None is the standard error.
    """
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(stream.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    number = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(number, logging.INFO))
    logging.getLogger("helamem").setLevel(number)
    for name in (*_CLIENTS, *_SERVICES):
        logging.getLogger(name).setLevel(logging.INFO if number == logging.DEBUG else logging.CRITICAL + 1)
    logging.getLogger("opentelemetry").setLevel(max(number, logging.ERROR))
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda hook: _uncaught(hook.exc_type, hook.exc_value, hook.exc_traceback)
    sys.unraisablehook = lambda hook: _uncaught(hook.exc_type, hook.exc_value, hook.exc_traceback)


def begun() -> bool:
    """Return whether this process logs."""
    return sys.excepthook is _uncaught


def putting_aside(group: str) -> Callable[[Record, Event | None, Poison], None]:
    """Return what logs each record that a group puts aside."""

    def log(record: Record, event: Event | None, poison: Poison) -> None:
        _log.warning(
            "a record was put aside",
            extra={"group": group, "field": poison.field, "reason": poison.reason, **place_of(record, event)},
        )

    return log


def place_of(record: Record, event: Event | None = None) -> dict[str, object]:
    """Return what a line says of a record: where it stands, and of its event, if there is one, what is no content."""
    place: dict[str, object] = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    if event is not None:
        place |= {"event_id": event.id, "space_hash": space_hash(event.space)}
        if (context := parse(event.traceparent)) is not None:
            place["trace_id"] = f"{context.trace_id:032x}"
    return place


def told(error: BaseException) -> str:
    """Return the type of an exception and where it was raised, and nothing of what it says."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return type(error).__name__
    walked = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return f"{type(error).__name__} at {walked[-1].f_globals.get('__name__', '?')}:{frames[-1].lineno}"


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if error is None:
        error = kind()
    _log.critical("nobody caught an exception", exc_info=(kind, error, trace))


def _formatter(terminal: bool) -> structlog.stdlib.ProcessorFormatter:  # noqa: FBT001 - one of two ways
    import structlog  # noqa: PLC0415 - see above

    shown: Any = (
        structlog.dev.ConsoleRenderer(colors=terminal)
        if terminal
        else structlog.processors.JSONRenderer(lambda line, **_: orjson.dumps(line).decode())
    )
    return structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            _first_line,
            _exception,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _plain,
            shown,
        ]
    )


def _first_line(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """Cut what shows objects, which may be messages."""
    if line["logger"].startswith(_TALKATIVE):
        line["event"] = line["event"].partition("\n")[0]
    if line["logger"] == "asyncio":  # `Exception in callback f('…')`
        line["event"] = _OBJECTS.sub("", line["event"])
    if line["logger"].startswith(("faust", "mode", *_SERVICES)):  # `Crashed reason=ValueError('…')`
        line["event"] = line["event"].partition("reason=")[0]
    return line


def _exception(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """Put type and places of an exception in the place of its text, and likewise of what led to it."""
    line.pop("stack_info", None)
    found = line.pop("exc_info", None)
    error = found[1] if isinstance(found, tuple) else found
    chain: list[str] = []
    while isinstance(error, BaseException) and len(chain) < _FRAMES:
        chain.append(told(error))
        error = error.__cause__ or error.__context__
    if chain:
        line["exception"] = chain
        trace = found[2] if isinstance(found, tuple) else None
        line["frames"] = [f"{one.name} {one.filename}:{one.lineno}" for one in traceback.extract_tb(trace)][-_FRAMES:]
    return line


def _plain(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """Put its type in the place of every object: what it holds may be an event."""
    return {name: _or_type(value) for name, value in line.items()}


def _or_type(value: object) -> object:
    if value is None or isinstance(value, str | int | float):
        return value
    return [_or_type(one) for one in value] if isinstance(value, list | tuple) else type(value).__name__
