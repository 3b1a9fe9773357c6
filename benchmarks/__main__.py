"""`python -m benchmarks [NAME ...] [--quick] [--out DIR]`: run benchmarks, print and keep their results."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.machine import machine

USUAL = ("ingest", "metrics", "recall", "fold", "replay", "kafka", "gateway")
NAMES = (*USUAL, "memory", "million", "past")
"""All; the last three have logs of a million messages, so they run only when they are named."""
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Run what is asked for; without names, everything that takes minutes and not an hour."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; without any, all but memory, million and past"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works; figures mean nothing")
    parser.add_argument("--out", type=Path, help="where results are kept; benchmarks/results, with --quick nowhere")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in NAMES]:
        parser.error(f"there is no benchmark {unknown[0]}; there are {', '.join(NAMES)}")
    out = arguments.out or (None if arguments.quick else RESULTS)
    for name in arguments.names or USUAL:
        described = machine()
        begin = time.perf_counter()
        result = importlib.import_module(f"benchmarks.{name}").run(quick=arguments.quick)
        document = {
            "benchmark": name,
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "quick": arguments.quick,
            "took_s": round(time.perf_counter() - begin),
            "machine": described,
            "result": result,
        }
        text = json.dumps(document, indent=2)
        print(text, flush=True)
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            (out / f"{document['date']}-{name}.json").write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
