"""Clients that misbehave: told what is wrong where they can be, closed, and no trouble to anybody else."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from pathlib import Path

import pytest
from msgspec import Raw

from contracts.store_contract import A, all_turns, memory, searched
from helamem.processors.store.port import Writes
from helamem.schemas.errors import RetryLater
from helamem.streams.store_process import protocol as p
from helamem.streams.store_process.client import RemoteStore
from helamem.streams.store_process.frames import MAX_FRAME_BYTES
from helamem.streams.store_process.server import MOST_CLIENTS
from streams.store_process.process import StoreProcess
from streams.store_process.stranger import Stranger

_MIB = 1024**2
_STATUS = Path("/proc/self/status")


def sentence_of(raw: bytes) -> str:
    greeting = p.decode_greeting(raw)
    assert isinstance(greeting, p.Refusal)
    return greeting.sentence


async def works(store: RemoteStore) -> None:
    """Check that somebody else is served as ever."""
    await store.write(Writes(memories=(memory(5000),)))
    await store.flush()
    assert memory(5000).turn.id in await searched(store, memory(5000))


async def test_a_frame_that_is_too_long_is_refused_before_it_is_read(store: RemoteStore, home: Path) -> None:
    """The answer says how long it was and how long it may be; then the connection is closed."""
    with Stranger(home) as stranger:
        stranger.socket.sendall((MAX_FRAME_BYTES + 1).to_bytes(4))
        answer = stranger.answer()
        assert answer.number == 0
        assert answer.refusal is not None
        assert "a frame of 67,108,865 bytes came, and at most 67,108,864 are taken" in answer.refusal.sentence
        assert stranger.receive() == b""
    await works(store)


async def test_the_longest_frame_is_taken(store: RemoteStore, home: Path) -> None:
    """One that is as long as may be is read, although it is no request that makes sense; others go on meanwhile."""
    with Stranger(home) as stranger:
        head = p.encode((7, ("NoSuchCall", b"")))[:-2]  # in place of the empty bytes come many
        length = MAX_FRAME_BYTES - len(head) - 5
        body = head + b"\xc6" + length.to_bytes(4) + bytes(length)
        assert len(body) == MAX_FRAME_BYTES
        await asyncio.to_thread(stranger.send, body)
        answer = await asyncio.to_thread(stranger.answer)
        assert (answer.number, answer.refusal and answer.refusal.error) == (7, "bad-input")
    await works(store)


@pytest.mark.parametrize(
    ("sent", "complaint"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "at most 4,096 are taken here"),
        (b"\0\0\0\x05hello", "the first frame is no greeting"),
        (b"\0\0\0\0", "the first frame is no greeting"),
        (b"\xff" * 10_000, "at most 4,096 are taken here"),
    ],
)
async def test_bytes_that_are_no_greeting(store: RemoteStore, home: Path, sent: bytes, complaint: str) -> None:
    """Whoever speaks another protocol is told so at once."""
    with Stranger(home, greet=False) as stranger:
        stranger.socket.sendall(sent)
        assert complaint in sentence_of(stranger.receive())
        assert stranger.receive() == b""
    await works(store)


async def test_another_version_is_refused_with_both_numbers(store: RemoteStore, home: Path) -> None:
    """A client of a later helamem learns what it met, and our own client takes it for a matter of configuration."""
    with Stranger(home, greet=False) as stranger:
        stranger.send(p.encode({"protocol": p.PROTOCOL, "version": 99, "client": "x", "news": [1, 2]}))
        assert sentence_of(stranger.receive()) == (
            f"the store process speaks version {p.VERSION} of its protocol, the client version 99; run the same "
            "helamem on both sides"
        )
    with Stranger(home, greet=False) as stranger:
        stranger.send(p.encode({"protocol": "other", "version": 1, "client": "x"}))
        assert "does not speak 'other'" in sentence_of(stranger.receive())
    await works(store)


async def test_bytes_that_are_no_request(store: RemoteStore, home: Path) -> None:
    """They end the connection with a sentence; nothing tells to whom an answer would have to go."""
    with Stranger(home) as stranger:
        stranger.send(b"\xc1\xc1\xc1")
        answer = stranger.answer()
        assert answer.refusal is not None
        assert (answer.number, answer.refusal.error) == (0, "bad-input")
        assert stranger.receive() == b""
    await works(store)


async def test_a_request_that_makes_no_sense_is_refused_alone(store: RemoteStore, home: Path) -> None:
    """Unknown calls, fields of another type, vectors that are no whole numbers of floats; the others are answered."""
    with Stranger(home) as stranger:
        for number, call in enumerate(
            [["Drop"], ["Turns", 1, 2], ["Write"], 7, ["SearchMemories", A, b"123", "word", 5, None], None], start=1
        ):
            stranger.ask(number, call)
            answer = stranger.answer()
            assert answer.refusal is not None
            assert (answer.number, answer.refusal.error) == (number, "bad-input")
            assert "does not understand a request" in answer.refusal.sentence
        stranger.ask(99, p.Spaces())
        assert stranger.answer() == p.Answer(99, None, Raw(p.encode({})))
    await works(store)


async def test_who_says_nothing_more_disturbs_nobody(store: RemoteStore, home: Path, process: StoreProcess) -> None:
    """Silent ones, half a length, half a greeting, half a large frame: others are served, and it ends in good order."""
    with contextlib.ExitStack() as stack:
        for greet, sent in (
            (False, b""),
            (False, b"\0\0"),
            (False, b"\0\0\0\x40hel"),
            (True, b""),
            (True, b"\0\0"),
            (True, (60 * _MIB).to_bytes(4) + bytes(1000)),
        ):
            stranger = stack.enter_context(Stranger(home, greet=greet))
            stranger.socket.sendall(sent)
        await works(store)
        await store.close()
        assert process.stop().code == 0


async def test_who_goes_away_disturbs_nobody(store: RemoteStore, home: Path) -> None:
    """In the middle of a frame, or with answers under way."""
    await works(store)
    for sent in (b"", b"\0\0", b"\0\0\x10\0half"):
        with Stranger(home) as stranger:
            for number in range(1, 20):
                stranger.ask(number, p.Scan("turns", None, None))
            stranger.socket.sendall(sent)
    await works(store)


@pytest.mark.skipif(not _STATUS.exists(), reason="reads from /proc how much memory a process has")
async def test_who_never_reads_costs_little(store: RemoteStore, home: Path, process: StoreProcess) -> None:
    """He asks for gigabytes and takes nothing: the process stops reading him, stays small, and serves the others."""
    for start in range(0, 1000, 100):
        texts = [f"{n} " + "long " * 4000 for n in range(start, start + 100)]
        await store.write(Writes(memories=tuple(memory(n + start, text) for n, text in enumerate(texts))))
    await all_turns(store)
    before = resident_bytes(process.pid)
    with Stranger(home) as one, Stranger(home) as other:
        for stranger, call in ((one, p.Scan("turns", None, None)), (other, p.Turns(A, (memory(1).turn.id,) * 1000))):
            stranger.socket.settimeout(0.5)
            with pytest.raises(TimeoutError):
                await asyncio.to_thread(ask_for_ever, stranger, call)
        assert len(await all_turns(store)) == 1000
        assert resident_bytes(process.pid) - before < 100 * _MIB
        await works(store)


def ask_for_ever(stranger: Stranger, call: p.Read) -> None:
    for number in itertools.count(1):
        stranger.ask(number, call)


def resident_bytes(pid: int) -> int:
    (line,) = [text for text in Path(f"/proc/{pid}/status").read_text().splitlines() if text.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


async def test_too_many_connections_are_refused_as_something_to_try_again(store: RemoteStore, home: Path) -> None:
    """There is a sentence for it, and room again once some have gone; who was there before is served."""
    with contextlib.ExitStack() as stack:
        for _ in range(MOST_CLIENTS - 1):  # the store has one already
            stack.enter_context(Stranger(home))
        with Stranger(home, greet=False) as stranger:
            stranger.send(p.encode(p.Hello(protocol=p.PROTOCOL, version=p.VERSION, client="x")))
            assert "has 128 connections and takes no more" in sentence_of(stranger.receive())
        with pytest.raises(RetryLater, match="takes no more"):
            await RemoteStore.open(home, dimension=32)
        await store.write(Writes(memories=(memory(1),)))
    await works(store)


def test_the_socket_is_its_owners_alone(process: StoreProcess, home: Path) -> None:
    """Mode 0600: nobody else on the machine can ask it."""
    assert (home / "store.sock").stat().st_mode & 0o777 == 0o600
    assert process.stop().code == 0


async def test_a_client_that_connects_again_takes_its_own_place(store: RemoteStore, home: Path) -> None:
    """What its old connection had asked for is worked off first and nothing more is taken from it: order is kept."""
    with Stranger(home, client="same") as old:
        for number in range(1, 21):
            old.ask(number, p.Write(Writes(memories=(memory(7, f"attempt {number}"),))))
        with Stranger(home, client="same") as new:
            new.ask(1, p.Write(Writes(memories=(memory(7, "too late"),))))
            assert new.answer().refusal is None
            with contextlib.suppress(ConnectionError):
                old.ask(21, p.Spaces())
                while old.receive():
                    pass
            (turn,) = await all_turns(store)
            assert turn.text.startswith("attempt")
    await works(store)
