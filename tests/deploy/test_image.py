"""The Dockerfile: what it is built from, and that it says what the rest of deploy/ counts on."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from fixtures.programs import HADOLINT, checked
from helamem.streams.config import PREFIX, Config
from helamem.streams.metrics.server import PATHS

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "Dockerfile"
TEXT = FILE.read_text().replace("\\\n", " ")
_PIN = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)


def pins(path: Path) -> set[tuple[str, ...]]:
    return set(_PIN.findall(path.read_text()))


def test_the_linter_has_no_complaint() -> None:
    """Of hadolint, with the linter of its shell lines inside."""
    assert checked(HADOLINT, FILE) == ""


def test_the_image_has_what_is_tested() -> None:
    """Its lock has the versions of the tests' lock, and of those only what is needed: no test tools."""
    image = pins(ROOT / "deploy" / "requirements.lock")
    assert image < pins(ROOT / "requirements.lock")
    names = {name for name, _ in image}
    assert names.isdisjoint({"pytest", "mypy", "ruff", "kubernetes-validate"})
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {re.split(r"[<>=\[ ]", one)[0] for one in wanted} <= names


def test_what_is_copied_is_sent_to_the_builder() -> None:
    """`.dockerignore` lets through what COPY names, and nothing beside it."""
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    sent = {line[1:] for line in ignored if line.startswith("!")}
    copied = {word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", TEXT, re.MULTILINE) for word in line.split()}
    assert copied == sent
    assert "*" in ignored
    assert all((ROOT / name).exists() for name in sent)


def test_it_runs_as_nobody_special() -> None:
    """As a user by number, as orchestrators check it, with one place to write to."""
    assert re.findall(r"^USER (.*)$", TEXT, re.MULTILINE) == ["10001:10001"]
    assert re.findall(r"^VOLUME (.*)$", TEXT, re.MULTILINE) == ["/var/lib/helamem"]


def test_its_variables_are_settings() -> None:
    """A name that is none would end every command."""
    known = {PREFIX + name.upper() for name in Config.model_fields} | {"HELAMEM_HOME"}
    named = set(re.findall(r"\b(HELAMEM_\w+)=", TEXT))
    assert named
    assert named <= known


def test_its_health_check_asks_what_is_answered() -> None:
    """The path is one of the server's, and the program is one that the image has."""
    (path,) = re.findall(r"METRICS_PORT\\\"\]\}(/\w+)", TEXT)
    assert path in PATHS


def test_the_base_takes_a_digest() -> None:
    """It is a build argument, and its Python is the oldest that the package takes: the one that is tested."""
    (version,) = re.findall(r"^ARG BASE=python:(\d+\.\d+)-slim", TEXT, re.MULTILINE)
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert package["requires-python"] == f">={version}"
    assert re.findall(r"^FROM (\S+)", TEXT, re.MULTILINE) == ["${BASE}", "${BASE}"]
    assert re.findall(r"^ARG VERSION=(\S+)", TEXT, re.MULTILINE) == [package["version"]]
