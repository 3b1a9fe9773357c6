"""`python -m helamem.streams.metrics.page`: docs/metrics.md, from the catalogue."""

from __future__ import annotations

import sys

from helamem.streams.metrics.catalogue import CATALOGUE, LABELS

_HEAD = """\
# Metrics

Written by `python -m helamem.streams.metrics.page` from `streams/helamem/streams/metrics/catalogue.py`; a test
compares them.

`helamem worker`, `helamem store` and `helamem run` answer on the port that `--metrics` or `HELAMEM_METRICS_PORT`
names: `/metrics` for Prometheus, `/live` (the process goes round) and `/ready` (it does its work). They listen on
127.0.0.1 unless `--metrics-host` or `HELAMEM_METRICS_HOST` says otherwise; nothing is asked of whoever reads, so keep
the port inside. Every process counts for itself, from its start.

What runs beside them takes `--metrics` too: `helamem replay`, `helamem audit verify` and `helamem archive`. They are
given their own port and touch no number of a live process. A command that ends by itself waits at its end, a minute at
most, until its metrics were read once more: what it came to is not lost with it.

The library counts where it is given something to count with:

```text
metrics = Metrics()                                   # helamem.streams.metrics
memory = await AsyncMemory.open("home", metrics=metrics)
async with exposed(metrics, 9464) as health:
    health.set_ready(True)
```

## Labels

No label's values grow with the number of spaces, conversations or memories, and none holds text of a message.

| label | values |
|---|---|
"""


def page() -> str:
    """Return the page."""
    labels = "".join(f"| `{name}` | {bound} |\n" for name, bound in LABELS.items())
    sections = [
        f"\n### `{metric.name}`\n\n"
        f"{metric.kind.capitalize()}, {metric.unit}"
        f"{'; by ' + ', '.join(f'`{label}`' for label in metric.labels) if metric.labels else ''}. "
        f"{metric.meaning}\n\n"
        f"What to do: {metric.action}\n"
        for metric in CATALOGUE
    ]
    return f"{_HEAD}{labels}\n## All of them\n{''.join(sections)}"


if __name__ == "__main__":
    sys.stdout.write(page())
