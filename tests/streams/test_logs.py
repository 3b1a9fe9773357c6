"""What processes log: lines for programs, words for people, and nothing that somebody wrote."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import sys
import threading
import warnings
from typing import Any

import pytest
from msgspec.structs import replace

from fakes.events import SPACE, message, record
from helamem.schemas.errors import Poison
from helamem.schemas.ids import space_hash
from helamem.schemas.records import Record
from helamem.streams import logs

SECRET = "zeppelin"  # noqa: S105 - a word that may not be seen
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Terminal(io.StringIO):
    """A stream at which somebody looks."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def begun(level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    logs.begin(level, stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_that_is_put_aside_is_one_line() -> None:
    """It says which record, in which trace and why; the space stands as a hash."""
    stream = begun()
    event = replace(message("m1", SECRET), traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")
    stands = Record(
        topic="t.g1", partition=2, offset=7, append_time_ms=0, key=SPACE.encode(), value=record(event).value
    )
    logs.putting_aside("encoding")(stands, event, Poison("is too long", "data.text"))
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "a record was put aside",
        "level": "warning",
        "logger": "helamem.streams.logs",
        "group": "encoding",
        "topic": "t.g1",
        "partition": 2,
        "offset": 7,
        "event_id": "message-m1",
        "space_hash": space_hash(SPACE),
        "trace_id": TRACE,
        "field": "data.text",
        "reason": "is too long",
    }


def test_a_terminal_gets_words() -> None:
    """A person reads a sentence with its fields, not JSON."""
    stream = Terminal()
    logs.begin("info", stream)
    logging.getLogger("helamem").warning("waiting: %s", "Kafka is away", extra={"group": "encoding"})
    assert "waiting: Kafka is away" in stream.getvalue()
    assert "encoding" in stream.getvalue()
    assert "{" not in stream.getvalue()


def test_an_exception_is_told_without_its_text() -> None:
    """Type and place of it, and of what led to it; the same where nobody caught it."""
    stream = begun()

    def fail() -> None:
        raise ValueError(SECRET) from KeyError(SECRET)

    try:
        fail()
    except ValueError as error:
        logging.getLogger("platform").exception("an agent failed")
        sys.excepthook(type(error), error, error.__traceback__)
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    told = lines(stream)
    assert [line["level"] for line in told] == ["error", "critical", "critical"]
    for line in told:
        assert [one.partition(":")[0] for one in line["exception"]] == [
            f"ValueError at {__name__}",
            "KeyError",
        ]
        assert any("test_logs.py" in frame for frame in line["frames"])
    assert SECRET not in stream.getvalue()


async def test_a_task_that_nobody_asked_shows_no_objects() -> None:
    """Asyncio shows the task with its exception, which quotes: only its first line is told."""
    stream = begun("debug")

    async def fail(text: str) -> None:
        raise ValueError(text)

    task = asyncio.create_task(fail(SECRET))
    await asyncio.wait([task])
    del task
    gc.collect()
    (line,) = [line for line in lines(stream) if line["logger"] == "asyncio"]
    assert line["event"] == "Task exception was never retrieved"
    assert SECRET not in stream.getvalue()


async def test_a_callback_that_fails_shows_none_of_what_it_was_given() -> None:
    """Asyncio shows its arguments, or the result of the task that it was for, in the first line already."""
    stream = begun("debug")

    def fail(_: object) -> None:
        raise ValueError(SECRET)

    async def answer() -> str:
        return SECRET

    asyncio.get_running_loop().call_soon(fail, SECRET)
    task = asyncio.create_task(answer())
    task.add_done_callback(fail)
    await task
    await asyncio.sleep(0)
    told = [line for line in lines(stream) if line["logger"] == "asyncio"]
    assert [line["event"].partition(" test_")[0] for line in told] == ["Exception in callback"] * 2
    assert SECRET not in stream.getvalue()


@pytest.mark.parametrize("level", logs.LEVELS)
def test_what_clients_send_is_never_told(level: str) -> None:
    """Aiokafka writes every request at debug, with the records in it; nobody gets that, whatever the level."""
    stream = begun(level)
    for name in ("aiokafka.conn", "faust.app", "platform", "botocore.endpoint"):
        logging.getLogger(name).debug("request %s", SECRET)
    assert stream.getvalue() == ""


def test_a_service_of_faust_that_crashes_is_told_without_its_reason() -> None:
    """Faust puts the exception into the sentence; that may quote."""
    stream = begun("debug")
    for name in ("helamem.streams.fleet.faust_services", "mode.services"):
        logging.getLogger(name).error("[^Run]: Crashed reason=%r", ValueError(SECRET))
    assert [line["event"] for line in lines(stream)] == ["[^Run]: Crashed "] * 2


def test_the_level_holds() -> None:
    """At info clients are silent, and at debug they and we say more."""
    for level, expected in (("info", ["waiting"]), ("debug", ["applied", "joined", "waiting"])):
        stream = begun(level)
        logging.getLogger("helamem.streams.pump").debug("applied")
        logging.getLogger("aiokafka.consumer").info("joined")
        logging.getLogger("helamem").warning("waiting")
        assert [line["event"] for line in lines(stream)] == expected


def test_objects_in_fields_are_named_by_their_type() -> None:
    """Whatever a platform puts into a line, the line is JSON and holds no event."""
    stream = begun()
    logging.getLogger("platform").warning("odd", extra={"what": message("m1", SECRET), "whom": {1, 2}})
    (line,) = lines(stream)
    assert (line["what"], line["whom"]) == ("Event", "set")


def test_a_warning_is_a_line() -> None:
    """Python's own warnings go the same way."""
    stream = begun()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old", stacklevel=1)
    (line,) = lines(stream)
    assert line["logger"] == "py.warnings"
