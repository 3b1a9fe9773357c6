"""The OpenAPI document is kept: whatever is asked as it says, or otherwise, is answered as it says."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fakes.directories import directory
from helamem.streams.gateway.app import build_api
from helamem.streams.gateway.openapi import describe
from streams.cli.shell import logged, start

DOCUMENT = describe(build_api())
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT).exclude(path_regex="/events$")  # it would not end
OPERATIONS: list[Any] = [found.ok() for found in SCHEMA.get_all_operations()]  # type: ignore[union-attr]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
EXAMPLES = 12
load_all_checks()


@schemathesis.serializer("application/x-ndjson")
def lines(_: Any, value: Any) -> bytes:
    """Send what was made up as it is, text as text."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A gateway in a process of its own; at the end it has logged no error and ends in good order."""
    with directory() as folder:
        process = start("up", "--home", folder / "home", "--port", 0)
        assert process.stderr is not None
        try:
            yield logged(process.stderr.readline()).split(" at ")[1].split(";")[0]
            process.terminate()
            _, errors = process.communicate(timeout=30)
            assert (process.returncode, errors) == (0, "")
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("mode", schemathesis.GenerationMode)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_every_answer_is_as_the_document_says(address: str, operation: Any, mode: schemathesis.GenerationMode) -> None:
    """Of requests that keep to it and of those that break it: no 5xx, no undocumented status, header or body."""
    if mode is schemathesis.GenerationMode.NEGATIVE and not list(operation.iter_parameters()) and not operation.body:
        return  # nothing in such a request could be wrong

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(mode))
    def ask(case: Any) -> None:
        answer = case.call(base_url=address)
        case.validate_response(answer, checks=CHECKS)

    ask()


def schemas(part: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield each schema of the document that has examples, with one of them."""
    if isinstance(part, dict):
        for example in part.get("examples", []) if isinstance(part.get("examples"), list) else []:
            yield part, example
        if "schema" in part and "example" in part:
            yield part["schema"], part["example"]
        for inner in part.values():
            yield from schemas(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from schemas(inner)


def test_the_examples_are_valid() -> None:
    """Each is what its schema says."""
    found = list(schemas(DOCUMENT))
    assert len(found) > 20
    for schema, example in found:
        Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(example)


def test_every_endpoint_is_described() -> None:
    """A summary, a description, a name of its own, and problems as problems."""
    names = set()
    for methods in DOCUMENT["paths"].values():
        for operation in methods.values():
            names.add(operation["operationId"])
            assert operation["summary"]
            assert operation["description"]
            assert operation["responses"].keys() >= {"400", "403", "431", "500", "503"}  # what any request may come to
            for status, answer in operation["responses"].items():
                if status[0] in "45" and "application/json" in answer.get("content", {}):
                    raise AssertionError(operation["summary"])
    assert len(names) == sum(map(len, DOCUMENT["paths"].values()))
    assert DOCUMENT["openapi"] == "3.1.0"


RAW = {
    "no request": b"hello\r\n\r\n",
    "an unknown version": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "no host": b"GET /v1/spaces HTTP/1.1\r\n\r\n",
    "two lengths": b"POST /v1/recall HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "a length and chunks": b"POST /v1/recall HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "bad chunks": b"POST /v1/recall HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "a header that is no text": b"GET /v1/spaces HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: \xff\xfe\x80\r\n\r\n",
    "a path that is no text": b"GET /v1/spaces/acme/%ff%fe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a path with a null": b"GET /v1/spaces/acme/a%00b/facts HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a path that climbs": b"GET /v1/spaces/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a query that is no text": b"GET /v1/spaces?cursor=%ff%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a body that is no text": b"POST /v1/recall HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 4\r\n\r\n\xff\xfe\x00\x01",
    "a body that never comes": b"POST /v1/recall HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 4000\r\n\r\n{",
    "a stream that breaks off": b"POST /v1/messages/stream HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/x-ndjson\r\nContent-Length: 4000\r\n\r\n{",
    "a key that is no text": b"GET /v1/spaces HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \xc3\xa9\r\n\r\n",
    "an enormous header": b"GET /v1/spaces HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
    "many headers": b"GET /v1/spaces HTTP/1.1\r\nHost: localhost\r\n" + b"X: x\r\n" * 5000 + b"\r\n",
    "deep JSON": b"POST /v1/recall HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 200000\r\n\r\n" + b"[" * 200_000,
    "a huge number": b"POST /v1/spaces/acme/mira/recall HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
    b"\r\nContent-Length: 5023\r\n\r\n" + b'{"query": "q", "k": 1%s}' % (b"0" * 5000),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RAW)
def test_what_no_client_sends_harms_nobody(address: str, name: str) -> None:
    """It is refused, or the connection ends; the next request is answered."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        answer = b""
        with suppress(OSError):  # it may close before it has read all
            connection.sendall(RAW[name])
            connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while part := connection.recv(65536):
                answer += part
    statuses = re.findall(rb"^HTTP/1\.1 (\d)\d\d", answer, re.MULTILINE)
    assert set(statuses) <= {b"2", b"4"}, answer
    assert httpx.get(f"{address}/v1/spaces", timeout=60).status_code == 200


def test_the_document_needs_no_memory() -> None:
    """What builds clients of it asks nobody."""
    made = "from helamem.streams.gateway.app import build_api; build_api()"
    subprocess.run([sys.executable, "-W", "error", "-c", made], check=True)
