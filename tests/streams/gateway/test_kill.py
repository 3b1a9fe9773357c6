"""A gateway that is killed at any moment has lost nothing that it answered."""

from __future__ import annotations

import logging
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest

from fakes.directories import directory
from fixtures.ports import free_ports
from streams.cli.shell import logged, run, start
from streams.gateway.asking import SPACE, said

KILLS = 3
CLIENTS = 4


def serving(home: Path, port: int) -> tuple[subprocess.Popen[str], str]:
    """Start a gateway and return it with its address."""
    process = start("up", "--home", home, "--port", port)
    assert process.stderr is not None
    return process, logged(process.stderr.readline()).split(" at ")[1].split(";")[0]


@pytest.fixture(autouse=True)
def _quietly(caplog: pytest.LogCaptureFixture) -> None:
    """Keep thousands of requests out of the report of a failure."""
    caplog.set_level(logging.WARNING, "httpx")


class Client(threading.Thread):
    """Appends messages one after the other, each with an idempotency key, and tries each until it is answered."""

    def __init__(self, number: int, address: str) -> None:
        super().__init__()
        self.number = number
        self.address = address
        self.answered: dict[str, dict[str, object]] = {}
        self.retried = 0
        self.stopping = threading.Event()

    def run(self) -> None:
        """Append until asked to stop."""
        count = 0
        with httpx.Client(timeout=10) as client:
            while not self.stopping.is_set():
                count += 1
                key = f"{self.number}-{count}"
                message = said(f"Turn {key}.", conversation=f"c{self.number}")
                del message["time"]  # each attempt has another one
                while key not in self.answered:
                    try:
                        path = f"{self.address}{SPACE}/messages"
                        answer = client.post(path, json=message, headers={"Idempotency-Key": key})
                    except httpx.TransportError:
                        self.retried += 1
                        time.sleep(0.02)
                        continue
                    if answer.is_success:
                        self.answered[key] = answer.json()
                    else:
                        assert answer.status_code == 503, answer.text


@pytest.mark.slow
def test_no_answered_append_is_lost_and_none_is_there_twice() -> None:
    """Killed again and again beneath clients that retry: each message is one record, where it was said to be."""
    rng = random.Random(7)
    with directory() as folder:
        home = folder / "home"
        (port,) = free_ports(1)
        process, address = serving(home, port)
        clients = [Client(number, address) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            for _ in range(KILLS):
                time.sleep(rng.uniform(0.2, 0.8))
                process.kill()
                process.communicate()
                process, _ = serving(home, port)
            time.sleep(0.3)
        finally:
            for client in clients:
                client.stopping.set()
            for client in clients:
                client.join()
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
        assert process.returncode == 0
        answered = {key: answer for client in clients for key, answer in client.answered.items()}
        assert len(answered) > 50
        assert sum(client.retried for client in clients) > 0
        spaces = run("spaces", "--home", home).json["spaces"]
        assert spaces == {"acme/mira": len(answered)}
        places = {(answer["memory_id"], str(answer["position"])) for answer in answered.values()}
        assert len(places) == len({place for _, place in places}) == len(answered)
        counts = run("run", "--once", "--home", home).json["counts"]
        assert not counts.get("conflict")
        digest = run("digest", "--home", home).json
        assert sum(end for at, end in digest["positions"].items() if "conversations" in at) == len(answered) + 4
