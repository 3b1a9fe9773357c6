"""deploy/compose.yaml: loaded by compose's own loader, and each name in it is one that the code knows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures.programs import COMPOSE, checked
from fixtures.prometheus import promtool
from helamem.streams.cli.gateway import PORT
from helamem.streams.config import PREFIX, Config
from helamem.streams.metrics.server import PATHS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FILE = DEPLOY / "compose.yaml"
PROJECT: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = PROJECT["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
WORKERS = {"encoding", "co-activation", "consolidation"}
KEYS = "/var/lib/helamem-gateway"
WRITABLE = "/var/lib/helamem"
PROMETHEUS: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
each = pytest.mark.parametrize("name", SERVICES)


def test_the_loader_takes_it() -> None:
    """Compose's own: the schema of the specification, merges, references between services, volumes and networks."""
    loaded = yaml.safe_load(checked(COMPOSE, FILE))
    assert loaded["services"].keys() == SERVICES.keys()


@each
def test_a_service_is_held_in(name: str) -> None:
    """Bounds on memory and processors, no new privileges, no capabilities, and something that says it is well."""
    service = SERVICES[name]
    assert service["deploy"]["resources"]["limits"].keys() >= {"cpus", "memory"}
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["cap_drop"] == ["ALL"]
    assert service["healthcheck"]
    assert service.get("read_only") or name == "kafka"
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("name", OURS)
def test_our_services_follow_the_image(name: str) -> None:
    """Its user, its one place to write to, and variables that are settings."""
    service = OURS[name]
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert f"USER {service['user']}\n" in dockerfile
    ((place, _),) = (entry.split(":") for entry in service["tmpfs"]) if name != "gateway" else ((WRITABLE, None),)
    assert place == WRITABLE
    assert f"VOLUME {place}\n" in dockerfile
    known = {PREFIX + setting.upper() for setting in Config.model_fields}
    assert {variable for variable in service["environment"] if variable.startswith(PREFIX)} <= known
    assert (FILE.parent / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_the_environment_is_a_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every value is one that the setting takes, and the servers are services at ports that they listen at."""
    for name, value in OURS["gateway"]["environment"].items():
        monkeypatch.setenv(name, value)
    config = Config()
    assert OURS["encoding"]["environment"].items() < OURS["gateway"]["environment"].items()
    host, _, port = config.kafka_servers.partition(":")
    assert f"INSIDE://{host}:{port}" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    host, _, port = config.qdrant_url.removeprefix("http://").partition(":")
    published = SERVICES[host]["ports"]
    assert published == [f"127.0.0.1:{number}:{number}" for number in (port, config.qdrant_grpc_port)]


@pytest.mark.parametrize("name", sorted(WORKERS | {"demo", "gateway"}))
def test_a_health_check_asks_what_is_answered(name: str) -> None:
    """At the port that the environment gives, a path that is served."""
    service = OURS[name]
    ((port, path),) = re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)", str(service["healthcheck"]["test"]))
    assert port == (str(PORT) if name == "gateway" else service["environment"]["HELAMEM_METRICS_PORT"])
    assert path in PATHS


def test_the_first_key_is_made_where_the_gateway_looks() -> None:
    """In a volume that both have; the image has its directory, which makes a new volume the user's own."""
    gateway, maker = OURS["gateway"], OURS["first-key"]
    (file,) = (word.removeprefix("--file=") for word in maker["command"] if word.startswith("--file="))
    assert gateway["environment"]["HELAMEM_GATEWAY_KEYS"] == file
    assert Path(file).parent == Path(KEYS)
    (volume,) = {*gateway["volumes"]} & {*maker["volumes"]}
    assert volume == f"gateway:{KEYS}"
    owner, group = gateway["user"].split(":")
    made = f"install --directory --owner {owner} --group {group} --mode 0700 {KEYS}\n"
    assert made in (DEPLOY / "Dockerfile").read_text()
    assert gateway["depends_on"]["first-key"] == {"condition": "service_completed_successfully"}
    assert gateway["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]


def test_a_gateway_has_room_for_the_past() -> None:
    """Past states lie in the directory for temporary files: a volume, since what is in memory is too small for one."""
    gateway = OURS["gateway"]
    assert "TMPDIR=" + WRITABLE in (DEPLOY / "Dockerfile").read_text()
    assert f"past:{WRITABLE}" in gateway["volumes"]
    assert gateway["tmpfs"] == []


def test_prometheus_takes_its_configuration() -> None:
    """Promtool reads it, and the rules that it names."""
    assert "1 rule files found" in promtool("check", "config", DEPLOY / "prometheus" / "prometheus.yml")


def test_prometheus_asks_who_is_there() -> None:
    """Every worker is in the job that alerts look for, and every name is a service, at the port where it answers."""
    jobs = {job["job_name"]: job for job in PROMETHEUS["scrape_configs"]}
    found = jobs["helamem-worker"]["dns_sd_configs"][0]
    assert set(found["names"]) == WORKERS
    assert jobs["helamem-gateway"]["dns_sd_configs"][0]["names"] == ["gateway"]
    for job in jobs.values():
        for one in job.get("dns_sd_configs", ()):
            for name in one["names"]:
                assert str(one["port"]) == OURS[name]["environment"]["HELAMEM_METRICS_PORT"]
        for one in job.get("static_configs", ()):
            for target in one["targets"]:
                host, _, port = target.partition(":")
                assert f"127.0.0.1:{port}:{port}" in SERVICES["prometheus" if host == "localhost" else host]["ports"]


@each
def test_what_is_mounted_is_there(name: str) -> None:
    """Files of this directory exist, and volumes are declared."""
    for mount in SERVICES[name].get("volumes", ()):
        source = mount.split(":")[0]
        if source.startswith("."):
            assert (DEPLOY / source).exists()
        else:
            assert source in PROJECT["volumes"]
