"""The metrics: their names, labels and meaning. Whatever exports them, and the page about them, reads this table."""

from typing import Literal, NamedTuple

__all__ = ["BY_NAME", "METRICS", "RUN_BUCKETS", "STORE_BUCKETS", "WAIT_BUCKETS", "Metric"]

Kind = Literal["counter", "gauge", "histogram"]
Origin = Literal["process", "store"]

_JOB = ("queue", "task")

WAIT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)
RUN_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
STORE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metric(NamedTuple):
    """One metric."""

    name: str
    kind: Kind
    origin: Origin
    """``process``: of the scraped process, or of all processes below a supervisor: add them up over the fleet.
    ``store``: of the whole fleet, the same from every target: take one.
    """
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()
    """Of a histogram: its upper bounds, without infinity."""


METRICS: tuple[Metric, ...] = (
    Metric("turnspit_jobs_enqueued_total", "counter", "process", _JOB, "Jobs that this process stored."),
    Metric("turnspit_attempts_started_total", "counter", "process", _JOB, "Attempts that began."),
    Metric("turnspit_jobs_completed_total", "counter", "process", _JOB, "Jobs that completed."),
    Metric("turnspit_attempts_failed_total", "counter", "process", _JOB, "Attempts that failed, tried again or not."),
    Metric("turnspit_jobs_retried_total", "counter", "process", _JOB, "Failed attempts that are tried again."),
    Metric("turnspit_jobs_dead_total", "counter", "process", _JOB, "Jobs that became dead letters."),
    Metric("turnspit_jobs_cancelled_total", "counter", "process", _JOB, "Jobs cancelled in an attempt or by a rescue."),
    Metric("turnspit_jobs_snoozed_total", "counter", "process", _JOB, "Attempts that put their job off."),
    Metric(
        "turnspit_attempts_lost_total", "counter", "process", _JOB, "Attempts whose job was another worker's by then."
    ),
    Metric("turnspit_jobs_rescued_total", "counter", "process", _JOB, "Jobs taken back from dead workers."),
    Metric(
        "turnspit_job_wait_seconds",
        "histogram",
        "process",
        _JOB,
        "From when a job was due until it was claimed.",
        WAIT_BUCKETS,
    ),
    Metric("turnspit_job_run_seconds", "histogram", "process", _JOB, "How long an attempt ran.", RUN_BUCKETS),
    Metric("turnspit_worker_slots", "gauge", "process", (), "How many jobs the workers here can run at once."),
    Metric("turnspit_worker_busy", "gauge", "process", (), "How many jobs the workers here run now."),
    Metric(
        "turnspit_store_seconds",
        "histogram",
        "process",
        ("verb",),
        "Calls of the store, each one transaction, until they were answered.",
        STORE_BUCKETS,
    ),
    Metric(
        "turnspit_store_errors_total", "counter", "process", ("verb", "error"), "Calls of the store that it failed."
    ),
    Metric("turnspit_store_up", "gauge", "store", (), "Whether the store answered: 1, or 0 and no other figure of it."),
    Metric(
        "turnspit_jobs",
        "gauge",
        "store",
        ("queue", "state"),
        "Live jobs and dead letters, counted as far as 10,000; held ones as limited, unknown or paused.",
    ),
    Metric(
        "turnspit_oldest_ready_seconds", "gauge", "store", ("queue",), "How long the oldest ready job has been due."
    ),
    Metric("turnspit_workers", "gauge", "store", ("version",), "Live workers."),
    Metric("turnspit_fleet_slots", "gauge", "store", (), "How many jobs all live workers can run at once."),
    Metric("turnspit_fleet_running", "gauge", "store", (), "How many jobs all live workers have claimed."),
    Metric(
        "turnspit_fleet_blocked",
        "gauge",
        "store",
        (),
        "Live workers whose event loop is blocked: no job there goes on.",
    ),
)
"""In the order in which they are exported."""

BY_NAME = {metric.name: metric for metric in METRICS}
