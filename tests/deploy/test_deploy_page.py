"""docs/deploy.md: its commands are tried as far as they can be without an engine and a cluster."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from fixtures.programs import COMPOSE, HELM, checked
from helamem.streams import cli

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "deploy.md").read_text()
COMMANDS = [line for block in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


def test_every_command_is_tried() -> None:
    """None is of a kind that the tests below do not know."""
    kinds = ("docker compose -f ", "docker build -f ", "helm upgrade ", "helamem keys ", "kubectl create secret ")
    assert all(command.startswith(kinds) for command in COMMANDS)
    assert len(COMMANDS) == 13


@pytest.mark.parametrize("command", [one for one in COMMANDS if one.startswith("helm")])
def test_the_chart_is_rendered_with_the_page_s_values(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each value exists and is of the right kind; the release would be the one that the page describes."""
    monkeypatch.chdir(ROOT)
    words = [word for word in shlex.split(command) if word not in {"--install", "--reuse-values"}]
    _, _, name, chart, *options = words
    documents = [one for one in yaml.safe_load_all(checked(HELM, "template", name, chart, *options)) if one]
    kinds = [one["kind"] for one in documents]
    assert kinds.count("Deployment") == 3 + ("gateway.enabled=true" in command)
    assert ("KafkaTopic" in kinds) == ("ScaledObject" in kinds) == ("strimzi" in command)
    policy, *_ = (one["spec"] for one in documents if one["kind"] == "NetworkPolicy")
    allowed = [one["port"] for rule in policy["egress"] for one in rule["ports"]]
    for port in re.findall(r"kafka\.bootstrapServers=\S+:(\d+)", command):
        assert int(port) in allowed, "workers may go to the brokers"


def test_the_secret_is_the_one_that_the_chart_looks_for() -> None:
    """Of the file in which a key was made, under the name that the release is given, in its namespace."""
    (made,) = (shlex.split(one) for one in COMMANDS if one.startswith("helamem keys"))
    file = made[made.index("--file") + 1]
    (release,) = (one for one in COMMANDS if "gateway.enabled=true" in one)
    values = dict(re.findall(r"--set gateway\.keys\.(\w+)=(\S+)", release))
    secrets = [shlex.split(one) for one in COMMANDS if one.startswith("kubectl")]
    assert len(secrets) == 2
    for words in secrets:
        assert words[3:5] == ["generic", values["name"]]
        assert f"--from-file={file}" in words
        assert (
            words[words.index("--namespace") + 1] == shlex.split(release)[shlex.split(release).index("--namespace") + 1]
        )
    assert values["key"] == file


@pytest.mark.parametrize("command", [one for one in COMMANDS if one.startswith("docker")])
def test_the_files_and_profiles_are_there(command: str) -> None:
    """The file that a command names is one, and compose's loader takes it; the profile belongs to a service."""
    words = shlex.split(command)
    file = ROOT / words[words.index("-f") + 1]
    if words[1] == "compose":
        services = yaml.safe_load(checked(COMPOSE, file))["services"]
        profiles = {profile for service in services.values() for profile in service.get("profiles", ())}
        assert "--profile" not in words or words[words.index("--profile") + 1] in profiles
        if words[4] in {"exec", "logs"}:
            assert next(word for word in words[5:] if not word.startswith("--")) in services
    else:
        assert file.is_file()
        assert words[words.index("-t") + 1] in (ROOT / "deploy" / "compose.yaml").read_text()


def test_what_the_page_says_to_call_is_there() -> None:
    """Each command of helamem between the lines exists, with its options; an upgrade of the store is one of them."""
    named = re.findall(r"`helamem ([^`]+)`", PAGE)
    assert {"rebuild", "rebuild --switch", "rebuild --switch-back"} <= set(named)
    named += [command.partition("helamem ")[2] for command in COMMANDS if " helamem " in f" {command}"]
    assert {one.split()[1] for one in named if one.startswith("keys")} == {"add", "revoke"}
    for one in named:
        command: Any = get_command(cli.app())
        for word in one.split():
            if word.startswith("--"):
                assert word in {option for parameter in command.params for option in parameter.opts}, one
            elif hasattr(command, "commands"):
                command = command.commands[word]


def test_what_the_page_names_as_a_value_is_one() -> None:
    """Words such as `kafka.partitions` lead to something in values.yaml, and sizes are those of values.yaml."""
    values = yaml.safe_load((ROOT / "deploy" / "helm" / "helamem" / "values.yaml").read_text())
    named = re.findall(
        r"`((?:image|kafka|strimzi|qdrant|gateway|merge|networkPolicy|monitoring|volume)\.\w+)(?:=\w+)?`", PAGE
    )
    assert len(named) >= 4
    for name in named:
        part, _, key = name.partition(".")
        assert key in values[part], name
    for part, processor in (
        *values["processors"].items(),
        *((name, values[name]) for name in ("gateway", "merge")),
    ):
        (row,) = re.findall(
            rf"^\| {part} \|.*\| ([\d.]+) cores?, (\d+) MiB \(limit (\d+) ([MG])iB\) \|$", PAGE, re.MULTILINE
        )
        asked, limits = processor["resources"]["requests"], processor["resources"]["limits"]
        cores = float(asked["cpu"].removesuffix("m")) / (1000 if asked["cpu"].endswith("m") else 1)
        assert (float(row[0]), f"{row[1]}Mi", f"{row[2]}{row[3]}i") == (cores, asked["memory"], limits["memory"])
