"""A worker that stops itself (SIGSTOP) at a marked step: `GROUP STEP`, before the step is done.

Whoever started it lets it go on when others have gone past it: then it is a zombie in the middle of that step.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Any, cast

from helamem.processors.port import Batch, Effects
from helamem.schemas.errors import RetryLater
from helamem.schemas.records import NewRecord
from helamem.streams.config import load_config
from helamem.streams.fleet.membership import Membership
from helamem.streams.fleet.worker import Role, opened
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.pump import Pump
from helamem.streams.store_process.client import RemoteStore

FROZEN = "frozen at the mark"
STEPS: dict[str, tuple[type, str]] = {
    "append": (KafkaLog, "append"),
    "write": (RemoteStore, "write"),
    "flush": (RemoteStore, "flush"),
    "checkpoint": (RemoteStore, "save_checkpoint"),
    "commit": (Membership, "commit"),
}
TRY_AGAIN = 75

_applying: ContextVar[bool] = ContextVar("applying", default=False)
"""Whether this task applies a batch that changes something; not every step of a worker is one of a batch."""


def mark(step: str) -> None:
    """Have the process stop before this step of a batch that changes something, once."""
    apply = Pump._apply
    owner, name = STEPS[step]
    work: Callable[..., Awaitable[Any]] = getattr(owner, name)
    done = False

    async def applied(pump: Pump, batch: Batch, effects: Effects, outputs: Sequence[NewRecord]) -> None:
        at_stake = any(getattr(effects.writes, kind) for kind in effects.writes.__struct_fields__)
        token = _applying.set(bool(at_stake or outputs))
        try:
            await apply(pump, batch, effects, outputs)
        finally:
            _applying.reset(token)

    async def stepped(*arguments: Any) -> Any:
        nonlocal done
        if _applying.get() and not done:
            done = True
            print(f"{FROZEN} {step}", file=sys.stderr, flush=True)  # noqa: T201 - whoever started it waits for that
            os.kill(os.getpid(), signal.SIGSTOP)
        return await work(*arguments)

    Pump._apply = applied  # type: ignore[method-assign,assignment] # a mark, in a process of its own
    setattr(owner, name, stepped)


async def work(role: Role) -> None:
    """Work until SIGTERM."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with opened(load_config(), [role]) as worker:
        await worker.run(stopping)


if __name__ == "__main__":
    mark(sys.argv[2])
    try:
        asyncio.run(work(cast("Role", sys.argv[1])))
    except RetryLater as error:
        print(error, file=sys.stderr)  # noqa: T201 - its log
        sys.exit(TRY_AGAIN)
