"""What the owner changes by commands, recorded where a gateway would record it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from helamem.streams.cli.session import configured

if TYPE_CHECKING:  # it stands with what reads the log
    from helamem.streams.log.port import Log


SOURCE = "helamem/command"


async def record_command(log: Log, home: Path | None, command: str, spaces: Iterable[str]) -> None:
    """Append who did it, unless nobody is told from others: a gateway asks for keys and tokens, or neither.

    Args:
        log: Where it was done.
        home: The home that it is of; None is the fleet.
        command: What was done, such as `erase`.
        spaces: To which.

    Raises:
        RetryLater: The log cannot be written now; it is done all the same.
    """
    from helamem.schemas.events import SpaceAccessed  # noqa: PLC0415 - only commands that change something need it
    from helamem.streams.access.records import OWNER, access_record  # noqa: PLC0415 - likewise
    from helamem.streams.home import wall_clock_ms  # noqa: PLC0415 - likewise

    if not _callers_have_names(home):
        return
    now_ms, done = wall_clock_ms(), SpaceAccessed(caller=OWNER, endpoint=f"helamem {command}", status=HTTPStatus.OK)
    records = [access_record(str(uuid.uuid4()), space, now_ms, done, SOURCE) for space in dict.fromkeys(spaces)]
    if records:
        await log.append(records)


def _callers_have_names(home: Path | None) -> bool:
    """Return whether there are keys, or an issuer whose tokens count."""
    from helamem.streams.config import load_config  # noqa: PLC0415 - it imports aiokafka
    from helamem.streams.gateway.keys import Keys  # noqa: PLC0415 - only commands that change something need it

    config = configured("HELAMEM_OIDC_ISSUER") if home is not None else load_config()
    by_tokens = config is not None and config.oidc_issuer is not None
    if home is not None:
        return by_tokens or Keys(home).made()
    return by_tokens or (config is not None and config.gateway_keys is not None)
