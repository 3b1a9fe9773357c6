"""How the graph grows, what association does, what hubs and facts come of it."""

from __future__ import annotations

from deploy.grafana.boards.recall import CHANGED_BY_ASSOCIATION
from deploy.grafana.vocabulary import Board, Panel, Query, Row, number, per_second, spread

_GRAPH = Row(
    "How does the graph grow?",
    (
        Panel(
            title="Links",
            description="Learned links made, strengthened, and displaced from a full row; each counts in the rows of "
            "both its ends. Displaced close to made: rows are full, and the setting `neighbours` bounds them.",
            unit="ops",
            queries=(
                Query(per_second("helamem_edges_created_total"), "made"),
                Query(per_second("helamem_edges_updated_total"), "strengthened"),
                Query(per_second("helamem_edges_pruned_total"), "displaced"),
            ),
        ),
        Panel(
            title="Weights of links",
            description="Weights of all links in the rows that were written in the chosen time: how many were at most "
            "that heavy, and heavier than the bar before. All at 1: the learning rate is too high for this load.",
            unit="short",
            kind="distribution",
            queries=(Query(spread("helamem_edge_weight"), "{{le}}"),),
        ),
        Panel(
            title="Links of a memory",
            description="Learned neighbours of the memories whose rows were written in the chosen time.",
            unit="short",
            kind="distribution",
            queries=(Query(spread("helamem_edge_row_degree"), "{{le}}"),),
        ),
    ),
)
_ASSOCIATION = Row(
    "Is association at work?",
    (
        CHANGED_BY_ASSOCIATION,
        Panel(
            title="Results, by path",
            description="Why each result was there: found by search (base), brought by association, or a fact.",
            unit="ops",
            kind="stacked",
            queries=(Query(per_second("helamem_recall_results_total", by="path"), "{{path}}"),),
        ),
        Panel(
            title="Recalls and reinforcements",
            description="What co-activation folded. An agent that never says what was of use teaches little.",
            unit="eps",
            queries=(
                Query(
                    per_second(
                        "helamem_events_processed_total",
                        by="outcome",
                        more=',group="co-activation",outcome=~"recalled|reinforced"',
                    ),
                    "{{outcome}}",
                ),
            ),
        ),
    ),
)
_FACTS = Row(
    "What comes of it?",
    (
        number(
            "Hubs formed",
            "Memories that became hubs, since the beginning of the chosen time.",
            Query("sum(increase(helamem_hubs_formed_total{$w}[$__range]))"),
        ),
        number(
            "Hubs to distil",
            "Hubs that wait. It can come to zero: those that were given up are not among them.",
            Query("max(helamem_hubs_to_distil{$w})"),
        ),
        number(
            "Hubs given up",
            "Hubs among the dead letters, redriven ones included.",
            Query("max(helamem_hubs_abandoned{$w})"),
            warn=1,
        ),
        number(
            "Facts distilled",
            "Facts that consolidation emitted, since the beginning of the chosen time.",
            Query("sum(increase(helamem_facts_emitted_total{$w}[$__range]))"),
        ),
        number(
            "Facts retracted",
            "Retractions that encoding applied, since the beginning of the chosen time.",
            Query("sum(increase(helamem_facts_retracted_total{$w}[$__range]))"),
        ),
        number(
            "Vectors from the cache",
            "Share of the texts whose vector encoding did not have to compute.",
            Query(
                "1 - sum(increase(helamem_embedding_computed_total{$w}[$__range]))"
                " / sum(increase(helamem_embedding_texts_total{$w}[$__range]))"
            ),
            unit="percentunit",
        ),
        Panel(
            title="Backlog of hubs",
            description="Hubs that wait to be distilled. An alert comes when there are some for an hour and they "
            "become no fewer.",
            unit="short",
            width=6,
            queries=(
                Query("max(helamem_hubs_to_distil{$w})", "to distil"),
                Query("max(helamem_hubs_abandoned{$w})", "given up"),
            ),
        ),
        Panel(
            title="Hubs and facts",
            description="Hubs formed, and facts distilled and retracted.",
            unit="eps",
            width=6,
            queries=(
                Query(per_second("helamem_hubs_formed_total"), "hubs"),
                Query(per_second("helamem_facts_emitted_total"), "facts"),
                Query(per_second("helamem_facts_retracted_total"), "retracted"),
            ),
        ),
        Panel(
            title="Texts embedded",
            description="Texts for which encoding asked a vector, and those that the embedder had to compute.",
            unit="ops",
            width=6,
            queries=(
                Query(per_second("helamem_embedding_texts_total"), "asked"),
                Query(per_second("helamem_embedding_computed_total"), "computed"),
            ),
        ),
        Panel(
            title="Calls of models elsewhere",
            description="Calls by which encoding asks a service for vectors, and those that failed. retry-later: it is "
            "away or limits the rate. None with an embedder in the process.",
            unit="ops",
            width=6,
            queries=(
                Query(per_second("helamem_model_call_seconds_count"), "calls"),
                Query(per_second("helamem_model_errors_total", by="reason"), "failed, {{reason}}"),
            ),
        ),
    ),
)

_MODEL = Row(
    "What does the model that distils do?",
    (
        Panel(
            title="Calls of the model that distils",
            description="Calls, and those that failed, by why. None with the extractive distiller. While the "
            "circuit is open there are few: one after each rest.",
            unit="ops",
            width=6,
            queries=(
                Query(per_second("helamem_distiller_call_seconds_count"), "calls"),
                Query(per_second("helamem_distiller_errors_total", by="failure"), "{{failure}}"),
            ),
        ),
        Panel(
            title="Time of a call",
            description="Of the calls in the chosen time, failed ones included: how many took at most so long, and "
            "longer than the bar before.",
            unit="short",
            kind="distribution",
            width=6,
            queries=(Query(spread("helamem_distiller_call_seconds"), "{{le}}"),),
        ),
        Panel(
            title="Tokens",
            description="Tokens of questions and answers, as the service counts them.",
            unit="short",
            width=6,
            queries=(Query(per_second("helamem_distiller_tokens_total", by="side"), "{{side}}"),),
        ),
        Panel(
            title="Statements",
            description="Statements that the rule of evidence let through, and those that it refused, by what was not "
            "in the messages.",
            unit="ops",
            kind="stacked",
            width=6,
            queries=(
                Query(per_second("helamem_distiller_statements_accepted_total"), "taken"),
                Query(per_second("helamem_distiller_statements_refused_total", by="rule"), "{{rule}}"),
            ),
        ),
        Panel(
            title="Cost",
            description="What the model cost since the beginning of the chosen time, in the currency of the prices.",
            unit="short",
            kind="stat",
            width=6,
            height=4,
            queries=(Query("sum(increase(helamem_distiller_cost_total{$w}[$__range]))"),),
        ),
        Panel(
            title="Answers that could not be read",
            description="Since the beginning of the chosen time; each is sent back once.",
            unit="short",
            kind="stat",
            width=6,
            height=4,
            queries=(Query("sum(increase(helamem_distiller_unreadable_total{$w}[$__range]))"),),
        ),
        Panel(
            title="Hubs beyond the cap",
            description="Hubs whose tenant had spent what it may in a day, since the beginning of the chosen time.",
            unit="short",
            kind="stat",
            width=6,
            height=4,
            queries=(Query("sum(increase(helamem_distiller_capped_total{$w}[$__range]))"),),
        ),
        Panel(
            title="Circuit",
            description="1 while the model is left alone because it only failed. Hubs wait meanwhile.",
            unit="short",
            kind="stat",
            width=6,
            height=4,
            warn=1,
            queries=(Query("max(helamem_distiller_circuit_open{$w})"),),
        ),
    ),
)

BOARD = Board(
    name="memory",
    title="helamem: memory",
    description="How the graph grows, what association does, what hubs and facts come of it.",
    rows=(_GRAPH, _ASSOCIATION, _FACTS, _MODEL),
)
