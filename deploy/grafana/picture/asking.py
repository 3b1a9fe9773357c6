"""Asking a Prometheus what a panel would ask it."""

from __future__ import annotations

import json
import math
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

_POINTS = 120


class UnansweredError(Exception):
    """A query that nobody answered, told in one sentence."""


class Series(Struct, frozen=True):
    """One line of a panel, or one of its numbers."""

    name: str
    points: tuple[tuple[float, float], ...]
    """(seconds since 1970, value)."""

    @property
    def last(self) -> float:
        """The newest value."""
        return self.points[-1][1]


class Asked(Struct, frozen=True, kw_only=True):
    """What is asked, and of which time.

    Attributes:
        url: Of Prometheus.
        begin_s: Since when.
        end_s: Until when.
        rate_s: For `$__rate_interval`.
    """

    url: str
    begin_s: float
    end_s: float
    rate_s: float

    def answers(self, target: Mapping[str, Any]) -> list[Series]:
        """Return the series of one query of a panel; what is no number is left out.

        Raises:
            UnansweredError: No Prometheus answers.
        """
        found = self._asked(target["expr"], at_once=target["instant"])
        made = []
        for one in found:
            values = [one["value"]] if target["instant"] else one["values"]
            points = tuple((at, value) for at, text in values if math.isfinite(value := float(text)))
            if points:
                made.append(Series(_named(target["legendFormat"], one["metric"]), points))
        return made

    def marks(self, annotation: Mapping[str, Any]) -> list[tuple[float, float]]:
        """Return when something began and ended, from an annotation.

        Raises:
            UnansweredError: No Prometheus answers.
        """
        spans = []
        for one in self._asked(annotation["expr"], at_once=False):
            values = [(at, float(text)) for at, text in one["values"]]
            if annotation["useValueForTime"]:
                spans += [(value / 1000, value / 1000) for value in {value for _, value in values}]
            elif on := [at for at, value in values if value > 0]:
                spans.append((on[0], on[-1]))
        return [span for span in spans if self.begin_s <= span[0] <= self.end_s]

    def _asked(self, expr: str, *, at_once: bool) -> list[dict[str, Any]]:
        whole = f"{self.end_s - self.begin_s:.0f}s"
        query = expr.replace("$__rate_interval", f"{self.rate_s:.0f}s").replace("$__range", whole)
        asked: dict[str, object] = {"query": query.replace("$job", ".*").replace("$worker", ".*")}
        if at_once:
            asked["time"] = self.end_s
        else:
            step = max(0.25, (self.end_s - self.begin_s) / _POINTS)
            asked |= {"start": self.begin_s, "end": self.end_s, "step": step}
        url = f"{self.url}/api/v1/{'query' if at_once else 'query_range'}?{urllib.parse.urlencode(asked)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - whoever runs this names it
                return list(json.load(answer)["data"]["result"])
        except urllib.error.HTTPError as error:
            raise UnansweredError(
                f"{self.url} answered a query with {error.code} ({error.reason}), so it is no Prometheus, or one that "
                "cannot answer now; look at its own page, or name another address"
            ) from None
        except OSError as error:
            raise UnansweredError(
                f"no Prometheus answers at {self.url} ({getattr(error, 'reason', error)}); start it, or name another "
                "address"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise UnansweredError(
                f"{self.url} is not the address of a Prometheus; name one such as http://localhost:9090"
            ) from None


def _named(legend: str, labels: Mapping[str, str]) -> str:
    """Return the name of a series, as its legend has it."""
    if legend == "__auto":
        return ""
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), legend)
