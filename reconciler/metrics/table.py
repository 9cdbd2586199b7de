"""Lists the metrics: names, kinds, labels and help, as they are exposed and as the docs list them. Pure.

A new metric is a row here, and its value in `samples`.
"""

from __future__ import annotations

from enum import StrEnum

from reconciler.frozen import Frozen

RUN_LABELS = ("mirrors", "store")
"""The name of the mirrors file, and that of the store, empty where the file has one `store`."""


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"


class Metric(Frozen):
    """One metric. `labels` have few values each: none is the name of a tag, and there are 21 repositories at most."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = RUN_LABELS


RUNS = Metric("r2mirror_runs_total", Kind.COUNTER, "Runs by how they ended.", (*RUN_LABELS, "result"))
LAST_RUN = Metric("r2mirror_last_run_timestamp_seconds", Kind.GAUGE, "When the last run ended.")
LAST_SUCCESS = Metric(
    "r2mirror_last_success_timestamp_seconds",
    Kind.GAUGE,
    "When the last run ended after which everything was as mirrors.yaml declares.",
)
DURATION = Metric("r2mirror_last_run_duration_seconds", Kind.GAUGE, "How long the last run took.")
CHANGES = Metric("r2mirror_changes_total", Kind.COUNTER, "Changes of tags that were made.", (*RUN_LABELS, "action"))
FAILURES = Metric(
    "r2mirror_failures_total",
    Kind.COUNTER,
    "Changes, repositories and runs that failed or were skipped, by reason.",
    (*RUN_LABELS, "reason"),
)
COPIED = Metric("r2mirror_copied_bytes_total", Kind.COUNTER, "Bytes downloaded from sources.")
LOCK_WAIT = Metric("r2mirror_lock_wait_seconds_total", Kind.COUNTER, "Time until runs had the lock of the store.")
WANTED = Metric("r2mirror_tags_wanted", Kind.GAUGE, "Tags that the target should have.")
MIRRORED = Metric("r2mirror_tags_mirrored", Kind.GAUGE, "Tags that the target has, by the mirror index.")
WAITING = Metric("r2mirror_tags_waiting", Kind.GAUGE, "Tags that wait for min_age.")
GONE = Metric("r2mirror_tags_gone", Kind.GAUGE, "Mirrored tags that the source no longer has.")
HELD_BACK = Metric(
    "r2mirror_prunes_held_back", Kind.GAUGE, "Reasons for which prunes need --allow-prune; 0 if none do."
)
SERIAL = Metric("r2mirror_index_serial", Kind.GAUGE, "Serial of the mirror index.")
REQUESTS = Metric(
    "r2mirror_requests_total",
    Kind.COUNTER,
    "Requests to registries and buckets by the class of the answer; none: there was no answer.",
    ("host", "status"),
)
QUOTA_LEFT = Metric(
    "r2mirror_quota_remaining_pulls", Kind.GAUGE, "Pulls left of a registry's quota, as last reported.", ("registry",)
)
QUOTA_LIMIT = Metric(
    "r2mirror_quota_limit_pulls", Kind.GAUGE, "Pulls that a registry's quota allows within its window.", ("registry",)
)
PULLS = Metric(
    "r2mirror_pulls",
    Kind.GAUGE,
    "Pulls on the last 30 days that are over, of the 20 repositories with the most and of _others together.",
    (*RUN_LABELS, "repository"),
)
MISSED = Metric(
    "r2mirror_tags_missed",
    Kind.GAUGE,
    "Tags that clients asked for on these days and that are not mirrored; `r2mirror wanted` lists them.",
)
SERVED = Metric(
    "r2mirror_served_requests_total",
    Kind.COUNTER,
    "Requests to the registry of serve or watch, by what was asked for and the class of the answer.",
    ("endpoint", "status"),
)
SENT = Metric("r2mirror_served_bytes_total", Kind.COUNTER, "Bytes that serve or watch sent in answers.", ())
RESOLVED = Metric(
    "r2mirror_served_tags_total",
    Kind.COUNTER,
    "Tags that clients resolved; missed: the mirror does not have them. Only with --count or --counts.",
    ("result",),
)
COUNTED = Metric(
    "r2mirror_counted_names",
    Kind.GAUGE,
    "Tags in the memory of --count or --counts: those of today, up to 10,000 pulled and 1,000 missed.",
    ("result",),
)
TRIGGERS = Metric(
    "r2mirror_triggers_total",
    Kind.COUNTER,
    "Requests to /run and /hooks/<kind> of watch, by what became of them; unknown: pushes that no mirror is about.",
    ("path", "result"),
)
FILE_VALID = Metric(
    "r2mirror_file_valid",
    Kind.GAUGE,
    "Whether the watched file can be used as it is now; 0: an edit is not valid, and the content before it is at work.",
    ("file",),
)
NEXT_RUN = Metric("r2mirror_next_run_timestamp_seconds", Kind.GAUGE, "When watch runs the file next.", ("file",))
BUILD = Metric("r2mirror_build_info", Kind.GAUGE, "The version that wrote these metrics; always 1.", ("version",))

METRICS = (
    RUNS,
    LAST_RUN,
    LAST_SUCCESS,
    DURATION,
    CHANGES,
    FAILURES,
    COPIED,
    LOCK_WAIT,
    WANTED,
    MIRRORED,
    WAITING,
    GONE,
    HELD_BACK,
    SERIAL,
    REQUESTS,
    QUOTA_LEFT,
    QUOTA_LIMIT,
    PULLS,
    MISSED,
    SERVED,
    SENT,
    RESOLVED,
    COUNTED,
    TRIGGERS,
    FILE_VALID,
    NEXT_RUN,
    BUILD,
)
BY_NAME = {metric.name: metric for metric in METRICS}
