"""The builds of a store on a Qdrant server: collections side by side, and aliases that say which build is in use.

A build is the collections `PREFIX-memories.b2` and so on. The aliases `PREFIX-memories` and so on lead to one of them,
all five to the same: the server changes them in one step.
"""

from __future__ import annotations

from qdrant_client import AsyncQdrantClient, models

from helamem.schemas.errors import ConfigurationError

KINDS = ("memories", "facts", "edges", "marks", "checkpoints")


class Collections:
    """Names of the collections of one store.

    Args:
        prefix: What they begin with, so that several stores can share a server.
        build: Of which build; None is the aliases, whichever build those lead to.
    """

    def __init__(self, prefix: str, build: int | None = None) -> None:
        end = "" if build is None else f".b{build}"
        self.memories = f"{prefix}-memories{end}"
        self.facts = f"{prefix}-facts{end}"
        self.edges = f"{prefix}-edges{end}"
        self.marks = f"{prefix}-marks{end}"
        self.checkpoints = f"{prefix}-checkpoints{end}"


async def build_in_use(client: AsyncQdrantClient, prefix: str) -> int | None:
    """Return the build that the aliases lead to, or None where there are none yet.

    Raises:
        ConfigurationError: They lead to several builds, or elsewhere: somebody else has set them.
    """
    found = {one.alias_name: one.collection_name for one in (await client.get_aliases()).aliases}
    names = Collections(prefix)
    targets = {kind: found.get(getattr(names, kind)) for kind in KINDS}
    if set(targets.values()) == {None}:
        return None
    numbers = {_number(target or "", f"{prefix}-{kind}") for kind, target in targets.items()}
    if len(numbers) != 1 or None in numbers:
        raise ConfigurationError(
            f"the aliases {prefix}-… of the Qdrant server lead to {', '.join(sorted(map(str, targets.values())))} and "
            "not to one build; set all five to the collections of one build"
        )
    return numbers.pop()


async def builds_there(client: AsyncQdrantClient, prefix: str) -> list[int]:
    """Return the numbers of the builds that have collections, in order."""
    names = [one.name for one in (await client.get_collections()).collections]
    found = {_number(name, f"{prefix}-{kind}") for name in names for kind in KINDS}
    return sorted(number for number in found if number is not None)


async def put_in_use(client: AsyncQdrantClient, prefix: str, build: int) -> None:
    """Lead all aliases to a build, in one step."""
    there, wanted = Collections(prefix), Collections(prefix, build)
    known = {one.alias_name for one in (await client.get_aliases()).aliases}
    actions: list[models.AliasOperations] = []
    for kind in KINDS:
        alias: str = getattr(there, kind)
        if alias in known:
            actions.append(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias)))
        target = models.CreateAlias(collection_name=getattr(wanted, kind), alias_name=alias)
        actions.append(models.CreateAliasOperation(create_alias=target))
    await client.update_collection_aliases(actions)


def _number(collection: str, beginning: str) -> int | None:
    """Return the number in the name of a build's collection, or None where it is none."""
    name, _, number = collection.rpartition(".b")
    return int(number) if name == beginning and number.isascii() and number.isdecimal() else None
