"""A run of the whole product that a real Prometheus watches: a library, a fleet, an inlet, an archiver and proofs."""

from __future__ import annotations

import asyncio
import itertools
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import orjson
import pytest

from fakes.events import distilled, message, record
from fixtures.ports import free_ports
from fixtures.prometheus import Prometheus
from fixtures.webhook import Address
from helamem.schemas.ids import memory_id
from helamem.schemas.records import NewRecord
from helamem.schemas.times import parse_time
from helamem.streams.async_memory import AsyncMemory
from helamem.streams.ingest.formats import read_file
from helamem.streams.ingest.incoming import Incoming
from helamem.streams.metrics import Metrics, exposed
from streams.cli.fleet import Fleet
from streams.cli.shell import ended, run, start
from streams.cli.test_fleet_merge import produce

EXAMPLES = Path(__file__).parents[2] / "examples"
JOBS = ("library", "store", "worker", "gateway", "merge", "archive", "audit", "replay")
STAYING = ("library", "store", "worker", "gateway", "merge", "archive")
"""Those that do not end by themselves."""
EVERY_MS = 250
_DEMO = files("helamem.streams.demo")


class Observed(NamedTuple):
    """What was watched, and since when."""

    prometheus: Prometheus
    began_s: float
    texts: dict[str, bytes]
    """What each process that stays exposed at the end, by job."""


@contextmanager
def observed(
    folder: Path,
    fleet: Fleet,
    address: Address,
    monkeypatch: pytest.MonkeyPatch,
    *,
    rounds: int = 2,
    pause_s: float = 0,
) -> Iterator[Observed]:
    """Do everything that a dashboard shows, in rounds: a rate needs a before and an after.

    Args:
        folder: Where homes and archives are made.
        fleet: Kafka, without topics.
        address: What the platform's agent posts facts to.
        monkeypatch: Leads the agent there.
        rounds: How often something is said and asked.
        pause_s: What each round is to take at least.
    """
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("WEBHOOK_URL", f"http://127.0.0.1:{address.server_port}/facts")
    began_s = time.time()
    with ExitStack() as stack:
        ran = _Run(folder, fleet, stack)
        ran.start_fleet()
        asyncio.run(ran.live(rounds, pause_s))
        fleet.catch_up()
        ran.prove()
        yield Observed(ran.prometheus, began_s, ran.texts)


class _Run:
    def __init__(self, folder: Path, fleet: Fleet, stack: ExitStack) -> None:
        self._ports = dict(zip(JOBS, free_ports(len(JOBS)), strict=True))
        targets = {f"helamem-{job}": [f"127.0.0.1:{port}"] for job, port in self._ports.items()}
        self.prometheus = Prometheus(folder, targets, every_ms=EVERY_MS)
        stack.callback(self.prometheus.close)
        self._folder = folder
        self._home = folder / "home"
        self._fleet = fleet
        self._stack = stack
        self._asked = self._posted = self._written = 0
        self.texts: dict[str, bytes] = {}

    def start_fleet(self) -> None:
        """Start a store process, a worker in which an agent of a platform runs, and what merges a tenant's inlet."""
        assert run("topics", "apply", "--inlet", "acme").code == 0
        self._start("serving the store", "store", "--home", self._fleet.home, "--metrics", self._ports["store"])
        self._fleet.ready_worker("all", "--app", "facts_webhook:app", "--metrics", self._ports["worker"])
        self._fleet.merger("--metrics", self._ports["merge"]).says("merging 1 inlet,")
        self._start("answering for", "up", "--home", self._folder / "served", "--port", self._ports["gateway"])

    async def live(self, rounds: int, pause_s: float) -> None:
        """Play the demo's conversations in rounds, in a library and in the fleet, beside an archiver."""
        with as_file(_DEMO.joinpath("conversation.jsonl")) as path:
            said = [one.record for one in read_file(path, "jsonl", None) if isinstance(one, Incoming)]
        questions = orjson.loads(_DEMO.joinpath("questions.json").read_bytes())["questions"]
        metrics = Metrics()
        async with (
            exposed(metrics, self._ports["library"]) as health,
            await AsyncMemory.open(self._home, metrics=metrics) as memory,
        ):
            health.set_ready(ready=True)
            await asyncio.to_thread(self._start_archiver)
            of_library = 'helamem_batch_records_count{job="helamem-library",group="consolidation"} == 0'
            await asyncio.to_thread(self.prometheus.eventually, of_library)
            for number in range(rounds):
                over = asyncio.create_task(asyncio.sleep(pause_s))
                part = said[number * len(said) // rounds : (number + 1) * len(said) // rounds]
                await memory.instance.log.append(part)
                await memory.process()
                for question in questions[number % 2 :: 2]:
                    await _ask(memory, question)
                    self._asked += 1
                await memory.process()
                await asyncio.to_thread(self._feed_fleet, part, number)
                await asyncio.to_thread(self._ask_gateway)
                await asyncio.to_thread(self._wait_until_seen)
                await over
            for job in STAYING:
                self.texts[job] = await asyncio.to_thread(self._read, job)

    def prove(self) -> None:
        """Audit and replay the library's home; both wait until Prometheus has read what they came to."""
        audit = ("audit", "verify", "--archive", self._folder / "archive", "--home", self._home)
        for ran in (
            run(*audit, "--public-key", self._folder / "key.pub.pem", "--metrics", self._ports["audit"]),
            run("replay", "--home", self._home, "--into", self._folder / "rebuilt", "--metrics", self._ports["replay"]),
        ):
            assert ran.code == 0, ran
            assert re.match(r"helamem: metrics at \S+\n", ran.err), ran.err
            assert "nobody read" not in ran.err

    def _read(self, job: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._ports[job]}/metrics", timeout=10) as answer:
            return bytes(answer.read())

    def _start_archiver(self) -> None:
        key, public = self._folder / "key.pem", self._folder / "key.pub.pem"
        assert run("audit", "keygen", "--key", key, "--public-key", public).code == 0
        archive = ("archive", "--to", self._folder / "archive", "--key", key, "--home", self._home)
        self._start("archiving to", *archive, "--follow", "--every", "1", "--metrics", self._ports["archive"])

    def _feed_fleet(self, part: Sequence[NewRecord], number: int) -> None:
        facts = [record(distilled(f"{number}-{n}", f"fact {n} of {number}")) for n in range(3)]
        self._fleet.append(*part, *facts)
        self._posted += len(facts)
        spaces = ("acme/mira", "bolt/mira")  # the second is no space of that tenant, and put aside
        produce(
            self._fleet, "acme", [message(f"own-{number}-{n}", "I said so.", space=at) for n, at in enumerate(spaces)]
        )
        self._written += len(spaces)

    def _ask_gateway(self) -> None:
        """Append, recall and follow events, and do what is turned away: too many headers, and a page of another's."""
        space = "/v1/spaces/acme/mira"
        said = {"conversation": "monday", "speaker": "Mira", "text": "We have moved from Lisbon to Bergen."}
        with httpx.Client(base_url=f"http://127.0.0.1:{self._ports['gateway']}") as client:
            assert client.post(f"{space}/messages?wait=searchable", json=said).status_code == 201
            assert client.post(f"{space}/recall", json={"query": "Where does Mira live?"}).status_code == 200
            with client.stream("GET", f"{space}/events", params={"begin": "first"}) as events:
                next(events.iter_raw())
            heap = {f"x-{number}": "1" for number in range(200)}
            assert client.get("/v1/spaces", headers=heap).status_code == 431
            assert client.get("/v1/spaces", headers={"Origin": "https://elsewhere.example"}).status_code == 403

    def _wait_until_seen(self) -> None:
        """Wait until Prometheus has seen what was done, so that what is done next is seen as something new."""
        self.prometheus.eventually(f'helamem_recall_seconds_count{{stage="total"}} >= {self._asked}')
        self.prometheus.eventually(f"sum(faust_event_seconds_count) >= {self._posted}")
        merged = "sum(helamem_inlet_merged_total) + sum(helamem_inlet_refused_total)"
        self.prometheus.eventually(f"{merged} == {self._written}")
        self.prometheus.eventually("max(helamem_lag_records) == 0")
        # What came up last has no rate before it was read twice.
        twice_s = time.time() + 2 * EVERY_MS / 1000
        for job in STAYING:
            self.prometheus.eventually(f'timestamp(up{{job="helamem-{job}"}}) > {twice_s}')

    def _start(self, words: str, *arguments: object) -> None:
        """Start a command that goes on, and wait until it says so; it is ended with the run."""
        process = start(*arguments)
        self._stack.callback(_end, process)
        assert process.stderr is not None
        lines = list(itertools.takewhile(lambda line: words not in line, process.stderr))
        assert process.poll() is None, lines


async def _ask(memory: AsyncMemory, question: dict[str, Any]) -> None:
    """Ask as the demo's agents do, and say what was of use."""
    space = question["space"]
    recalled = await memory.recall(space, question["query"], as_of=parse_time(question["at"]))
    used = {memory_id(space, message_id) for message_id in question["used"]}
    if found := [hit.result.id for hit in recalled.hits if hit.result.id in used]:
        await memory.reinforce(recalled.recall_id, found, space=space)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    ended(process)
