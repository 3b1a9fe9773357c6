"""How long recalls take, where the time goes, what they return."""

from __future__ import annotations

from deploy.grafana.vocabulary import Board, Panel, Query, Row, mean, per_second, quantile, quantiles

_CALLS = ',call=~"search-.*|score-memories|edge-rows|turns|facts"'
_TOTAL = ',stage="total"'
_STAGES = ',stage!="total"'

CHANGED_BY_ASSOCIATION = Panel(
    title="Recalls that association changed",
    description="Share of recalls in which association brought at least one result: in them the memory's links "
    "mattered.",
    unit="percentunit",
    most=1,
    queries=(
        Query(
            per_second("helamem_recalls_changed_by_association_total") + " / " + per_second("helamem_recalls_total"),
            "changed",
        ),
    ),
)


def time_of_a_recall(*shares: float, width: int = 8) -> Panel:
    """Return the panel of some of its quantiles; it stands on the overview too."""
    return Panel(
        title="Time of a recall",
        description="From the question to the answer, where recalls are answered.",
        unit="s",
        width=width,
        queries=quantiles("helamem_recall_seconds", *shares, more=_TOTAL),
    )


_TIME = Row(
    "How long does a recall take?",
    (
        time_of_a_recall(0.5, 0.95, 0.99, width=12),
        Panel(
            title="Recalls answered",
            description="By the processes chosen above, and those of them whose events were lost since answers need "
            "not wait for the log (HELAMEM_RECALL_AUDIT=relaxed).",
            unit="ops",
            width=12,
            queries=(
                Query(per_second("helamem_recall_seconds_count", by="job", more=_TOTAL), "{{job}}"),
                Query(per_second("helamem_recall_events_lost_total", by="job"), "{{job}}, event lost"),
            ),
        ),
        Panel(
            title="Mean time, by stage",
            description="Where the time of a recall goes. Search grew after much ingest: the store wants optimising. "
            "Record is the append of the recall's own event.",
            unit="s",
            kind="stacked",
            width=12,
            queries=(Query(mean("helamem_recall_seconds", by="stage", more=_STAGES), "{{stage}}"),),
        ),
        Panel(
            title="Slowest, by stage",
            description="The slowest hundredth of each stage.",
            unit="s",
            width=12,
            queries=(Query(quantile(0.99, "helamem_recall_seconds", by="stage", more=_STAGES), "{{stage}}"),),
        ),
    ),
)
_RESULTS = Row(
    "What do recalls return?",
    (
        Panel(
            title="Results of a recall, by path",
            description="Mean number of results, by why they were there: found by search (base), brought by "
            "association, or a fact.",
            unit="short",
            kind="stacked",
            queries=(
                Query(
                    per_second("helamem_recall_results_total", by="path")
                    + " / on () group_left () "
                    + per_second("helamem_recalls_total"),
                    "{{path}}",
                ),
            ),
        ),
        CHANGED_BY_ASSOCIATION,
        Panel(
            title="The store's reads",
            description="The slowest hundredth of the store's calls that recalls need. All of them rise: the machine "
            "is overloaded.",
            unit="s",
            queries=(Query(quantile(0.99, "helamem_store_call_seconds", by="call", more=_CALLS), "{{call}}"),),
        ),
    ),
)

BOARD = Board(
    name="recall",
    title="helamem: recall",
    description="How long recalls take, where the time goes, what they return.",
    rows=(_TIME, _RESULTS),
)
