"""What deploy/compose.yaml starts, as plain processes: the image's files, its user, only a volume to write to.

Who merges tenants' inlets is started as the chart does it. There is no engine for containers here, and no Qdrant
server. Three things are put in their place: the test's Kafka for the service `kafka`, the store process for `qdrant`,
and a free port for 9464, since all share one network.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from fakes.events import message
from fixtures.contained import ROOT, USER, Contained, image, privileged
from fixtures.programs import HELM, checked
from streams.cli.fleet import Fleet, fleet, kafka, own_kafka
from streams.cli.shell import Ran
from streams.cli.test_fleet_merge import produce

__all__ = ["fleet", "image", "kafka", "own_kafka"]

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
PAGE = (ROOT / "docs" / "deploy.md").read_text()
WORKERS = ("encoding", "co-activation", "consolidation")
KEYS = "/var/lib/helamem-gateway"
"""Where compose mounts the volume of the API keys."""
WAIT_S = 60.0
OVER_HTTP = 2
"""Messages that are appended by gateways."""
BY_INLET = 1
"""Messages that a tenant's own producer writes."""
Start = Callable[..., Contained]


@pytest.fixture
def keys() -> Iterator[Path]:
    """A volume for API keys: not in pytest's own directories, which the image's user may not enter."""
    with tempfile.TemporaryDirectory(prefix="helamem-keys-") as folder:
        yield Path(folder)


@pytest.fixture
def start(image: Path, fleet: Fleet, keys: Path, tmp_path: Path) -> Iterator[Start]:
    """Start a service of the compose file, or another command of its image."""
    running: list[Contained] = []
    home = tmp_path / "shared"
    home.mkdir()

    def start(
        name: str, command: list[str] | None = None, environment: Mapping[str, str] | None = None, **options: Any
    ) -> Contained:
        service = SERVICES.get(name, SERVICES["encoding"])
        environment = (service["environment"] if environment is None else dict(environment)) | {
            "HELAMEM_KAFKA_SERVERS": fleet.broker.servers,
            "HELAMEM_STORE": "process",
            "HELAMEM_STORE_HOME": str(home / "home"),
            "HELAMEM_METRICS_PORT": "0",
        }
        if name == "store":
            environment["HELAMEM_HOME"] = str(home / "home")
        mounted = f"gateway:{KEYS}" in service.get("volumes", ())
        contained = Contained(
            image,
            tmp_path / name,
            [word.replace(KEYS, str(keys)) for word in command or service["command"]],
            {name: value.replace(KEYS, str(keys)) for name, value in environment.items()},
            writable=[home, keys] if mounted else [home],
            **options,
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
def test_the_services_run_as_the_manifest_says(start: Start, fleet: Fleet, keys: Path) -> None:
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

    asked_over_http(start, keys)
    merged_from_inlet(start, fleet, keys)
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
    assert done["encoding"]["encoded"] == played["messages"] + OVER_HTTP + BY_INLET
    assert done["encoding"]["dead-lettered"] == 0
    assert done["co-activation"]["records"] >= played["recalls"] + played["reinforced"]
    assert store.stop().code == 0


def asked_over_http(start: Start, keys: Path) -> None:
    """Ask the gateway of the compose file with the key that is made at the start, and that of the chart with another.

    The chart's cannot write its keys, as a secret is mounted. The other key is made by the command of docs/deploy.md,
    while the first gateway runs.
    """
    first = start("first-key").wait()
    assert first.code == 0, first.err
    compose = start("gateway", [*SERVICES["gateway"]["command"], "--port", "0"])
    pattern = r"the console is at http://0\.0\.0\.0(:\d+)/"
    address = f"127.0.0.1{compose.says(pattern)}"
    _, *check = SERVICES["gateway"]["healthcheck"]["test"]
    eventually(lambda: answer(address, "/ready")[0] == 200)
    asked = [part.replace("127.0.0.1:8420", address) for part in check]
    assert start("check", asked, entry=None).wait().code == 0
    assert answer(address, "/v1/spaces")[0] == 401
    remembers(address, first.json["key"], "demo/first")
    assert json.loads(first.out)["tenant"] == "demo"
    again = start("first-key").wait()
    assert (again.code, again.json["key"]) == (0, None)

    (line,) = re.findall(r"^docker compose .* exec gateway helamem (keys add .*)$", PAGE, re.MULTILINE)
    made = start("gateway", shlex.split(line)).wait()
    assert made.code == 0, made.err
    port = compose.says(r"metrics at http://0\.0\.0\.0(:\d+)/")
    assert "helamem_http_requests_total" in answer(f"127.0.0.1{port}", "/metrics")[1]

    command, environment = of_chart(keys, "gateway")
    chart = start("chart", [*command, "--port", "0"], environment)
    address = f"127.0.0.1{chart.says(pattern)}"
    eventually(lambda: answer(address, "/ready")[0] == 200)
    remembers(address, made.json["key"], f"{made.json['tenant']}/chart")
    for gateway in (compose, chart):
        if privileged():
            assert gateway.user() == USER
        assert gateway.stop().code == 0


def merged_from_inlet(start: Start, fleet: Fleet, keys: Path) -> None:
    """Make an inlet, have its tenant write a message, and who merges as the chart has it bring it in."""
    tenant = "acme"
    assert start("topics", ["topics", "apply", "--inlet", tenant]).wait().code == 0
    merging = start("merge", *of_chart(keys, "merge"))
    address = f"127.0.0.1{merging.says(r'metrics at http://0[.]0[.]0[.]0(:[0-9]+)/')}"
    assert answer(address, "/live")[0] == 200
    eventually(lambda: answer(address, "/ready")[0] == 200)
    produce(fleet, tenant, [message("m1", "I keep bees.", space=f"{tenant}/inlet")])
    eventually(lambda: f"helamem_inlet_merged_total {BY_INLET}.0\n" in answer(address, "/metrics")[1])
    if privileged():
        assert merging.user() == USER
    assert ended_well(merging.stop()) == {"merged": BY_INLET}


def of_chart(keys: Path, part: str) -> tuple[list[str], dict[str, str]]:
    """Return what the chart has one of them run, and its environment, with its keys where they are here."""
    values = "gateway.enabled=true,merge.enabled=true,gateway.keys.name=keys,gateway.keys.key=keys.json"
    text = checked(HELM, "template", "mem", ROOT / "deploy" / "helm" / "helamem", "--set", values)
    (pod,) = (
        one["spec"]["template"]["spec"]
        for one in yaml.safe_load_all(text)
        if one and one["kind"] == "Deployment" and one["metadata"]["name"] == f"mem-helamem-{part}"
    )
    (container,) = pod["containers"]
    (place,) = (one["mountPath"] for one in container["volumeMounts"] if one["name"] == "gateway")
    environment = {one["name"]: one["value"].replace(place, str(keys)) for one in container["env"]}
    assert str(keys / "keys.json") in environment.values()
    return container["args"], environment


def remembers(address: str, key: str, space: str) -> None:
    """Append a message and recall it."""
    said = {"conversation": "monday", "speaker": "Mira", "text": "We have moved from Lisbon to Bergen."}
    with httpx.Client(base_url=f"http://{address}", headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
        appended = client.post(f"/v1/spaces/{space}/messages?wait=searchable", json=said)
        assert (appended.status_code, appended.json()["searchable"]) == (201, True), appended.text
        recalled = client.post(f"/v1/spaces/{space}/recall", json={"query": "Where does Mira live?"})
        assert [one["text"] for one in recalled.json()["results"]] == [said["text"]]
