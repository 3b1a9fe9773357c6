"""What a dashboard is made of, and how Grafana (11 or newer) wants it written.

Queries are PromQL with `$w` where a series is to be of the chosen jobs and workers.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

Kind = Literal["stat", "lines", "stacked", "distribution"]
WIDTH = 24
"""Columns of Grafana's grid."""
SELECTED = 'job=~"$job",instance=~"$worker"'
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
SCHEMA = 39
"""Of Grafana 11.0; newer ones migrate it by themselves."""


class Query(Struct, frozen=True):
    """One query of a panel."""

    expr: str
    legend: str = ""
    """Name of each series; `{{label}}` stands for a label's value."""

    @property
    def selected(self) -> str:
        """The query for the chosen jobs and workers."""
        return self.expr.replace("$w", SELECTED)


class Panel(Struct, frozen=True, kw_only=True):
    """One panel."""

    title: str
    description: str
    unit: str
    """Grafana's name of it: s, bytes, percentunit, short, recps, eps, ops."""
    queries: tuple[Query, ...]
    kind: Kind = "lines"
    width: int = 8
    height: int = 8
    warn: float | None = None
    """A stat is orange from here on, and red from `bad`."""
    bad: float | None = None
    most: float | None = None
    """Upper end of the axis, where it has one."""


class Row(Struct, frozen=True):
    """Panels that answer one question, from left to right."""

    title: str
    panels: tuple[Panel, ...]


class Board(Struct, frozen=True, kw_only=True):
    """One dashboard."""

    name: str
    """Of its file; its uid too."""
    title: str
    description: str
    rows: tuple[Row, ...]


def number(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    width: int = 4,
    height: int = 4,
    warn: float | None = None,
    bad: float | None = None,
) -> Panel:
    """Return a panel of one number, or of one for each series, as it is now."""
    return Panel(
        title=title,
        description=description,
        queries=queries,
        unit=unit,
        kind="stat",
        width=width,
        height=height,
        warn=warn,
        bad=bad,
    )


def per_second(metric: str, *, by: str = "", more: str = "") -> str:
    """Return the query of a counter's rate."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({metric}{{$w{more}}}[$__rate_interval]))"


def quantile(share: float, metric: str, *, by: str = "", more: str = "") -> str:
    """Return the query of a histogram's quantile."""
    grouped = ", ".join(["le", *filter(None, [by])])
    return f"histogram_quantile({share}, sum by ({grouped}) (rate({metric}_bucket{{$w{more}}}[$__rate_interval])))"


def quantiles(metric: str, *shares: float, more: str = "") -> tuple[Query, ...]:
    """Return the queries of some of a histogram's quantiles, named p50 and so on."""
    return tuple(Query(quantile(share, metric, more=more), f"p{share * 100:.0f}") for share in shares)


def mean(metric: str, *, by: str = "", more: str = "") -> str:
    """Return the query of a histogram's mean."""
    return f"{per_second(metric + '_sum', by=by, more=more)} / {per_second(metric + '_count', by=by, more=more)}"


def spread(metric: str) -> str:
    """Return the query of how many values each bucket of a histogram got."""
    return f"sum by (le) (increase({metric}_bucket{{$w}}[$__range]))"


def written(board: Board) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it."""
    return {
        "uid": f"helamem-{board.name}",
        "title": board.title,
        "description": board.description,
        "tags": ["helamem"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,  # one cross-hair in all panels
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "",
        "templating": {"list": _variables()},
        "annotations": {"list": _annotations()},
        "links": [
            {
                "type": "dashboards",
                "title": "helamem",
                "tags": ["helamem"],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
                "icon": "external link",
                "targetBlank": False,
                "tooltip": "",
                "url": "",
            }
        ],
        "panels": _placed(board.rows),
    }


def _placed(rows: tuple[Row, ...]) -> list[dict[str, Any]]:
    """Lay panels out: each row has a line of its own, and panels go below each other where they no longer fit."""
    placed: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        grid = {"x": 0, "y": y, "w": WIDTH, "h": 1}
        head = {"type": "row", "title": row.title, "collapsed": False, "panels": [], "gridPos": grid}
        placed.append({"id": len(placed) + 1, **head})
        y += 1
        x = height = 0
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y, height = 0, y + height, 0
            grid = {"x": x, "y": y, "w": panel.width, "h": panel.height}
            placed.append({"id": len(placed) + 1, **_panel(panel), "gridPos": grid})
            x, height = x + panel.width, max(height, panel.height)
        y += height
    return placed


def _panel(panel: Panel) -> dict[str, Any]:
    at_once = panel.kind in {"stat", "distribution"}
    targets = [
        {
            "refId": chr(ord("A") + number),
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": query.selected,
            "legendFormat": query.legend or "__auto",
            "instant": at_once,
            "range": not at_once,
            "format": "heatmap" if panel.kind == "distribution" else "time_series",
        }
        for number, query in enumerate(panel.queries)
    ]
    bounds: dict[str, float] = {"min": 0} | ({} if panel.most is None else {"max": panel.most})
    if panel.kind == "stat" and panel.unit == "short":
        bounds["decimals"] = 0  # things are counted; an increase that Prometheus extrapolates has fractions
    defaults = {"unit": panel.unit, **bounds, "thresholds": _thresholds(panel), "custom": _custom(panel.kind)}
    if panel.kind in {"stat", "distribution"}:
        defaults["color"] = {"mode": "thresholds"}
        del defaults["custom"]
    return {
        "type": {"stat": "stat", "distribution": "bargauge"}.get(panel.kind, "timeseries"),
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(panel),
    }


def _thresholds(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    steps += [{"color": "orange", "value": panel.warn}] if panel.warn is not None else []
    steps += [{"color": "red", "value": panel.bad}] if panel.bad is not None else []
    return {"mode": "absolute", "steps": steps}


def _custom(kind: Kind) -> dict[str, Any]:
    return {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 40 if kind == "stacked" else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if kind == "stacked" else "none", "group": "A"},
    }


def _options(panel: Panel) -> dict[str, Any]:
    last = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    if panel.kind == "stat":
        several = len(panel.queries) > 1 or bool(panel.queries[0].legend)
        return {
            "reduceOptions": last,
            "colorMode": "value" if panel.warn is None and panel.bad is None else "background",
            "graphMode": "none",
            "textMode": "value_and_name" if several else "value",
            "orientation": "auto",
            "justifyMode": "auto",
        }
    if panel.kind == "distribution":
        return {"reduceOptions": last, "displayMode": "gradient", "orientation": "vertical", "showUnfilled": False}
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _variables() -> list[dict[str, Any]]:
    """Return the choices at the top. No metric has a label for tenants or spaces: those are without bound."""
    return [
        {
            "name": "datasource",
            "label": "Prometheus",
            "type": "datasource",
            "query": "prometheus",
            "refresh": 1,
            "includeAll": False,
            "multi": False,
            "hide": 0,
        },
        _labels("job", "Job", "label_values(helamem_build_info, job)"),
        _labels("worker", "Worker", 'label_values(helamem_build_info{job=~"$job"}, instance)'),
    ]


def _labels(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "hide": 0,
    }


def _annotations() -> list[dict[str, Any]]:
    """Return what is marked in every panel: a replay as long as it runs, and the begin of each process."""
    marked = {"enable": True, "hide": False, "datasource": DATASOURCE, "step": "60s"}
    began = "max by (job, instance) (process_start_time_seconds{$w}) * 1000"
    version = "max by (job, instance, version) (helamem_build_info{$w})"
    return [
        {
            **marked,
            "name": "Replays",
            "iconColor": "purple",
            "expr": Query("max by (job, instance) (helamem_replay_progress_ratio{$w}) < bool 1").selected,
            "titleFormat": "replay",
            "textFormat": "{{instance}}",
            "tagKeys": "job",
            "useValueForTime": False,
        },
        {
            **marked,
            "name": "Deployments",
            "iconColor": "blue",
            "expr": Query(f"{began} * on (job, instance) group_right () {version}").selected,
            "titleFormat": "{{version}} began",
            "textFormat": "{{job}} {{instance}}",
            "tagKeys": "job",
            "useValueForTime": True,  # the value is when it began, in milliseconds
        },
    ]
