"""What deploy/compose.yaml starts, as plain processes: the image's files, its user, only a volume to write to.

There is no engine for containers here, and no Qdrant server. Three things are put in their place: the test's Kafka for
the service `kafka`, the store process for `qdrant`, and a free port for 9464, since all share one network.
"""

from __future__ import annotations

import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures.contained import ROOT, USER, Contained, image, privileged
from streams.cli.fleet import Fleet, fleet, kafka, own_kafka
from streams.cli.shell import Ran

__all__ = ["fleet", "image", "kafka", "own_kafka"]

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
WORKERS = ("encoding", "co-activation", "consolidation")
WAIT_S = 60.0
Start = Callable[..., Contained]


@pytest.fixture
def start(image: Path, fleet: Fleet, tmp_path: Path) -> Iterator[Start]:
    """Start a service of the compose file, or another command of its image."""
    running: list[Contained] = []
    home = tmp_path / "shared"
    home.mkdir()

    def start(name: str, command: list[str] | None = None, **options: Any) -> Contained:
        environment = SERVICES.get(name, SERVICES["encoding"])["environment"] | {
            "HELAMEM_KAFKA_SERVERS": fleet.broker.servers,
            "HELAMEM_STORE": "process",
            "HELAMEM_STORE_HOME": str(home / "home"),
            "HELAMEM_HOME": str(home / "home"),
            "HELAMEM_METRICS_PORT": "0",
        }
        contained = Contained(
            image, tmp_path / name, command or SERVICES[name]["command"], environment, writable=[home], **options
        )
        running.append(contained)
        return contained

    yield start
    for contained in running:
        contained.kill()


def answer(address: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def eventually(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def ended_well(ran: Ran) -> dict[str, int]:
    assert ran.code == 0, ran.err
    return dict(ran.json["counts"])


@pytest.mark.slow
def test_a_process_can_write_to_its_volume_alone(start: Start, image: Path, tmp_path: Path) -> None:
    """The frame of the next test holds: neither the image nor a temporary directory can be written to."""
    if not privileged():
        complaint = "needs root, setpriv and unshare, to take rights away from a process"
        if os.environ.get("HELAMEM_REQUIRE_DEPLOY"):
            pytest.fail(complaint, pytrace=False)
        pytest.skip(complaint)
    there = " ".join(str(place / "file") for place in (image, tmp_path, Path("/tmp"), Path("/usr")))  # noqa: S108
    script = f"for file in {there}; do ! touch $file || exit 1; done; touch file && id -u"
    ran = start("probe", ["sh", "-c", script], entry=None).wait()
    assert (ran.code, ran.out) == (0, f"{USER}\n"), ran.err


@pytest.mark.slow
def test_the_services_run_as_the_manifest_says(start: Start, fleet: Fleet, image: Path, tmp_path: Path) -> None:
    """Topics are made, workers get ready, the demo is played, remembered and linked; each ends well when told to."""
    topics = start("topics").wait()
    assert topics.code == 0, topics.err
    assert topics.json["settings_applied"]
    store = start("store", ["store"])
    store.says("(serving) the store")
    workers = {name: start(name) for name in WORKERS}
    addresses = {name: worker.says(r"metrics at http://0\.0\.0\.0(:\d+)/") for name, worker in workers.items()}
    for name, port in addresses.items():
        assert answer(f"127.0.0.1{port}", "/live")[0] == 200
        eventually(lambda port=port: answer(f"127.0.0.1{port}", "/ready")[0] == 200)  # type: ignore[misc]
        if privileged():
            assert workers[name].user() == USER
    _, *check = SERVICES["encoding"]["healthcheck"]["test"]
    asked = [part.replace(":9464", addresses["encoding"]) for part in check]
    assert start("check", asked, entry=None).wait().code == 0

    player = start("demo", ["play", "--rate", "60"])
    port = player.says(r"metrics at http://0\.0\.0\.0(:\d+)/")

    def recalls() -> float:
        found = re.findall(
            r'^helamem_recall_seconds_count\{stage="total"\} (\S+)',
            answer(f"127.0.0.1{port}", "/metrics")[1],
            re.MULTILINE,
        )
        return float(found[0]) if found else 0.0

    eventually(lambda: recalls() >= 15)
    played = ended_well(player.stop())
    assert played["recalls"] >= 15
    assert played["reinforced"] > 0
    fleet.catch_up()
    done = {name: ended_well(worker.stop()) for name, worker in workers.items()}
    assert done["encoding"]["encoded"] == played["messages"]
    assert done["encoding"]["dead-lettered"] == 0
    assert done["co-activation"]["records"] >= played["recalls"] + played["reinforced"]
    assert store.stop().code == 0
