"""Replays, audits and archives: how far they are, what they found."""

from __future__ import annotations

from deploy.grafana.vocabulary import Board, Panel, Query, Row, number, per_second

_REPLAY = Row(
    "Replays (they touch no number of a live process)",
    (
        number(
            "Diverged",
            "Whether a replay of the chosen time did not give again what the log gave before. See the "
            "runbook HelamemReplayDiverged.",
            Query("max(max_over_time(helamem_replay_diverged{$w}[$__range]))"),
            bad=1,
        ),
        number(
            "Hubs derived again",
            "Of the last replay of the chosen time, beside those in the log. Missing or different is a "
            "fault, not yet recorded is none.",
            Query("max by (result) (last_over_time(helamem_replay_hubs{$w}[$__range]))", "{{result}}"),
            width=12,
        ),
        number(
            "Records to apply",
            "Of the last replay of the chosen time.",
            Query("max(last_over_time(helamem_replay_records{$w}[$__range]))"),
            width=8,
        ),
        Panel(
            title="Progress",
            description="How much of each replay is done.",
            unit="percentunit",
            most=1,
            width=12,
            queries=(Query("max by (job, instance) (helamem_replay_progress_ratio{$w})", "{{job}} {{instance}}"),),
        ),
        Panel(
            title="Rate",
            description="Records that replays apply. Standing still before the end: see the replay's own output.",
            unit="recps",
            width=12,
            queries=(
                Query(per_second("helamem_replay_records_applied_total", by="job, instance"), "{{job}} {{instance}}"),
            ),
        ),
    ),
)
_AUDIT = Row(
    "Audits",
    (
        number(
            "Findings",
            "Records or checkpoints at fault, in any audit of the chosen time. See the runbook HelamemAuditFailed.",
            Query("max(max_over_time(helamem_audit_findings{$w}[$__range]))"),
            bad=1,
        ),
        number(
            "Records verified",
            "By the last audit of the chosen time. Fewer than before: something was removed, or it was "
            "given another log.",
            Query("max(last_over_time(helamem_audit_records{$w}[$__range]))"),
            width=5,
        ),
        number(
            "Checkpoints",
            "Signed checkpoints that the last audit held the records against.",
            Query("max(last_over_time(helamem_audit_checkpoints{$w}[$__range]))"),
            width=5,
        ),
        number(
            "Not signed yet",
            "Records after the last checkpoint of their partition, for which nobody has vouched. Growing "
            "from audit to audit: no archiver signs.",
            Query("max(last_over_time(helamem_audit_uncovered_records{$w}[$__range]))"),
            width=5,
        ),
        number(
            "Progress",
            "How much of the last audit is done.",
            Query("max(last_over_time(helamem_audit_progress_ratio{$w}[$__range]))"),
            unit="percentunit",
            width=5,
        ),
    ),
)
_ARCHIVE = Row(
    "Archive",
    (
        Panel(
            title="Archived",
            description="Records that archivers put into the archive.",
            unit="recps",
            queries=(Query(per_second("helamem_archived_records_total", by="job, instance"), "{{job}} {{instance}}"),),
        ),
        Panel(
            title="Written to the archive",
            description="Compressed bytes that archivers have written since they started.",
            unit="bytes",
            queries=(Query("sum by (job, instance) (helamem_archived_bytes_total{$w})", "{{job}} {{instance}}"),),
        ),
        number(
            "Checkpoints signed",
            "Since the archiver started. Zero beside archived records: it was given no key.",
            Query("sum(helamem_checkpoints_signed_total{$w})"),
            height=8,
        ),
        number(
            "Last round",
            "How long ago an archiver ended its last round. Long ago: the log or the archive is away.",
            Query("time() - max(helamem_archive_round_timestamp_seconds{$w})"),
            unit="s",
            height=8,
        ),
    ),
)

BOARD = Board(
    name="replay-and-audit",
    title="helamem: replay and audit",
    description="Replays, audits and archives: how far they are, what they found.",
    rows=(_REPLAY, _AUDIT, _ARCHIVE),
)
