"""A memory over the network: a client of a gateway, with async and without.

    from helamem.client import Client, Message

    with Client("http://127.0.0.1:8420") as memory:
        said = Message(space="acme/mira", conversation="1", speaker="Mira", text="I moved to Bergen.")
        memory.append([said], searchable=True)
        for hit in memory.recall("acme/mira", "Where does Mira live?").results:
            print(hit.text)

`AsyncClient` has the same methods as coroutines. It takes httpx and msgspec, and nothing of what a gateway takes.
"""

from importlib.util import find_spec

if find_spec("httpx") is None:
    raise ImportError("helamem.client needs httpx; install it with: pip install 'helamem[client]'")

from helamem.client.answers import (
    Appended,
    BatchAppended,
    Entry,
    Fact,
    Hit,
    Lineage,
    Marked,
    Memory,
    Neighbour,
    Neighbours,
    Person,
    Position,
    Profile,
    Recalled,
    Reinforced,
    SpaceSize,
)
from helamem.client.asynchronous import AsyncClient
from helamem.client.problems import (
    ConflictError,
    DeniedError,
    InvalidError,
    MissingError,
    ProblemError,
    UnreachableError,
    WaitError,
)
from helamem.client.requests import Message
from helamem.client.retries import Retries
from helamem.client.synchronous import Client

__all__ = [
    "Appended",
    "AsyncClient",
    "BatchAppended",
    "Client",
    "ConflictError",
    "DeniedError",
    "Entry",
    "Fact",
    "Hit",
    "InvalidError",
    "Lineage",
    "Marked",
    "Memory",
    "Message",
    "MissingError",
    "Neighbour",
    "Neighbours",
    "Person",
    "Position",
    "ProblemError",
    "Profile",
    "Recalled",
    "Reinforced",
    "Retries",
    "SpaceSize",
    "UnreachableError",
    "WaitError",
]
