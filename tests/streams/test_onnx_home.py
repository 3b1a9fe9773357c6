"""A home that a model in a folder embeds: its settings say which model that is, and where."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.directories import directory
from helamem.processors.embedder.choose import full_name
from helamem.schemas.errors import ConfigurationError
from helamem.schemas.settings import EncodingSettings, Settings
from helamem.streams.async_memory import AsyncMemory, Message
from helamem.streams.cli.topics import _defaults
from helamem.streams.config import Config
from helamem.streams.home import Home
from helamem.streams.replay import replay

TINY = Path(__file__).parents[1] / "processors" / "embedder" / "tiny_onnx"
SPACE = "acme/anna"
ASKED = Settings(encoding=EncodingSettings(embedder="onnx:model"))
SAID = [Message(space=SPACE, conversation="c", speaker="Anna", text="Rye bread in the harbour.")]


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with the model, in which this process is."""
    with directory() as path:
        shutil.copytree(TINY, path / "model")
        monkeypatch.chdir(path)
        yield path


async def test_another_model_in_the_folder_is_not_mixed_with_the_one_before(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The home opens from anywhere, by the same settings too; with another model it can be replayed, by that model."""
    home = place / "home"
    async with await AsyncMemory.open(home, settings=ASKED) as memory:
        await memory.append(SAID)
        await memory.process()
        name = memory.instance.settings.encoding.embedder
    assert name == full_name(f"onnx:{place / 'model'}")
    async with await AsyncMemory.open(home, settings=ASKED) as memory:
        assert memory.instance.settings.encoding.embedder == name
    monkeypatch.chdir("/")
    async with await AsyncMemory.open(home) as memory:
        assert len((await memory.recall(SPACE, "bread")).hits) == 1
    with (place / "model" / "tokenizer.json").open("a") as file:
        file.write("\n")
    with pytest.raises(ConfigurationError, match="holds another model than the embedder onnx:"):
        await AsyncMemory.open(home)
    with pytest.raises(ConfigurationError, match="holds another model than the embedder onnx:"):
        await replay(home, place / "same")
    monkeypatch.chdir(place)
    await replay(home, place / "anew", re_embed="onnx:model")
    found = Home.look(place / "anew").settings
    assert found is not None
    assert found.encoding.embedder == full_name("onnx:model") != name


def test_a_fleet_begins_with_the_name_of_the_very_model(place: Path) -> None:
    assert _defaults(Config(embedder="onnx:model")).encoding.embedder == full_name(f"onnx:{place / 'model'}")
