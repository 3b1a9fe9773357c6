"""A Faust agent that does nothing, as a program: `python -m benchmarks.faust_noop SERVERS TOPIC COUNT`.

It prints the seconds from the first message to the last of `COUNT`.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from tempfile import gettempdir

import faust
from faust import StreamT


def main(servers: str, topic: str, count: int) -> None:
    """Read so many messages and end."""
    app = faust.App(
        "benchmark-noop",
        broker=f"kafka://{servers}",
        datadir=Path(gettempdir()) / "helamem-benchmark-noop",
        web_enabled=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
    )
    source = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    async def nothing(stream: StreamT[bytes]) -> None:
        seen, begin = 0, 0.0
        async for _ in stream:
            seen += 1
            if seen == 1:
                begin = time.perf_counter()
            if seen == count:
                print(
                    time.perf_counter() - begin, file=sys.__stdout__, flush=True
                )  # Faust turns `stdout` into log lines
                os._exit(0)  # committing and leaving the group are no part of it

    app.agent(source, name="noop")(nothing)
    app.main()


if __name__ == "__main__":
    _, servers, topic, count = sys.argv
    sys.argv[1:] = ["worker", "-l", "error"]
    main(servers, topic, int(count))
