"""What a gateway is asked, how long its answers take, and whom it turns away."""

from __future__ import annotations

from deploy.grafana.vocabulary import Board, Panel, Query, Row, number, per_second, quantile, quantiles

_FAILED = ',status="5xx"'
_TURNED_AWAY = ',problem=~"too-many-requests|quota-exceeded|too-large|headers-too-large"'
_REFUSED = ',problem=~"unauthorized|forbidden"'
_MESSAGES = ',route=~".*/messages.*"'
_RECALLS = ',route=~".*/recall"'
_EVENTS = ',route!~".*/events"'
"""A stream of events takes as long as somebody follows it."""

_ASKED = Row(
    "What is it asked, and does it answer?",
    (
        number(
            "Requests",
            "Requests a second, all gateways chosen above together.",
            Query(per_second("helamem_http_requests_total")),
            unit="ops",
            width=6,
        ),
        number(
            "Failed",
            "Share of requests that were answered 5xx: the gateway, its store or its log is at fault.",
            Query(
                f"({per_second('helamem_http_requests_total', more=_FAILED)} or vector(0)) / "
                + per_second("helamem_http_requests_total")
            ),
            unit="percentunit",
            width=6,
            warn=0.001,
            bad=0.01,
        ),
        number(
            "Slowest answers",
            "The slowest hundredth of all requests but of streams of events.",
            Query(quantile(0.99, "helamem_http_request_seconds", more=_EVENTS)),
            unit="s",
            width=6,
        ),
        number(
            "Streams of events",
            "That somebody follows now. A gateway has at most 256.",
            Query("sum (helamem_http_event_streams{$w})"),
            width=6,
            warn=200,
            bad=250,
        ),
        Panel(
            title="Requests, by route",
            description="Answered, by method and path template. A route named none is a path that there is none for.",
            unit="ops",
            width=12,
            queries=(Query(per_second("helamem_http_requests_total", by="method, route"), "{{method}} {{route}}"),),
        ),
        Panel(
            title="Answers, by class of status",
            description="4xx: whoever asked is at fault. 5xx: the gateway is, or what it stands before.",
            unit="ops",
            kind="stacked",
            width=12,
            queries=(Query(per_second("helamem_http_requests_total", by="status"), "{{status}}"),),
        ),
    ),
)
_TIME = Row(
    "How long does an answer take?",
    (
        Panel(
            title="Time of an append over HTTP",
            description="From the request's head to its answer, when the messages are durable in the log. With "
            "wait=searchable it is when they can be recalled.",
            unit="s",
            width=8,
            queries=quantiles("helamem_http_request_seconds", 0.5, 0.95, 0.99, more=_MESSAGES),
        ),
        Panel(
            title="Time of a recall over HTTP",
            description="From the request's head to its answer; what of it is the recall itself stands on the "
            "dashboard of recalls.",
            unit="s",
            width=8,
            queries=quantiles("helamem_http_request_seconds", 0.5, 0.95, 0.99, more=_RECALLS),
        ),
        Panel(
            title="Slowest, by route",
            description="The slowest hundredth of each route.",
            unit="s",
            width=8,
            queries=(Query(quantile(0.99, "helamem_http_request_seconds", by="route", more=_EVENTS), "{{route}}"),),
        ),
        Panel(
            title="Appends and recalls over HTTP",
            description="Requests that append messages, of any number in each, and requests that recall.",
            unit="ops",
            width=12,
            queries=(
                Query(per_second("helamem_http_requests_total", more=_MESSAGES), "appends"),
                Query(per_second("helamem_http_requests_total", more=_RECALLS), "recalls"),
            ),
        ),
        Panel(
            title="Streams of events followed",
            description="By gateway. What rises and never falls is a client that opens new ones and closes none.",
            unit="short",
            width=12,
            queries=(Query("sum by (instance) (helamem_http_event_streams{$w})", "{{instance}}"),),
        ),
    ),
)
_TURNED = Row(
    "Whom does it turn away?",
    (
        Panel(
            title="Turned away for how much they ask",
            description="too-many-requests: a key or a tenant asks more often than it may. quota-exceeded: a tenant "
            "has appended all that it may today. too-large: of a body or of headers.",
            unit="ops",
            kind="stacked",
            queries=(Query(per_second("helamem_http_problems_total", by="problem", more=_TURNED_AWAY), "{{problem}}"),),
        ),
        Panel(
            title="Refused",
            description="unauthorized: no key that is in force. forbidden: a key without the right, or not for the "
            "space; helamem access says which.",
            unit="ops",
            kind="stacked",
            queries=(Query(per_second("helamem_http_problems_total", by="problem", more=_REFUSED), "{{problem}}"),),
        ),
        Panel(
            title="All problems, by type",
            description="As they stand in the answers. retry-later: something was away. failed: see the gateway's log.",
            unit="ops",
            queries=(Query(per_second("helamem_http_problems_total", by="problem"), "{{problem}}"),),
        ),
    ),
)

_MERGED = Row(
    "What do tenants write themselves?",
    (
        Panel(
            title="Merged from inlets, and put aside",
            description="Records a second. What is put aside stands among the dead letters, with the reason.",
            unit="recps",
            width=8,
            queries=(
                Query(per_second("helamem_inlet_merged_total"), "merged"),
                Query(per_second("helamem_inlet_refused_total", by="fault"), "{{fault}}"),
            ),
        ),
        Panel(
            title="Waiting in inlets",
            description="Records that are not merged yet. Growing for long: start more processes that merge.",
            unit="short",
            width=8,
            queries=(Query("sum (helamem_inlet_waiting_records{$w})", "records"),),
        ),
        Panel(
            title="Held back",
            description="Partitions of inlets whose tenants have appended all that they may today.",
            unit="short",
            width=8,
            queries=(Query("sum (helamem_inlet_held_partitions{$w})", "partitions"),),
        ),
    ),
)

BOARD = Board(
    name="gateway",
    title="helamem: gateway",
    description="What a gateway is asked, how long its answers take, whom it turns away, and what is merged.",
    rows=(_ASKED, _TIME, _TURNED, _MERGED),
)
