"""What is shown of the figures: the rows of the table, in their order."""

from dataclasses import dataclass

__all__ = ["MEASUREMENTS", "ROWS", "Row"]

MEASUREMENTS = {
    "enqueue": "enqueue",
    "drain_1": "drain, one worker process",
    "drain_2": "drain, two worker processes",
    "latency": "pick-up latency",
    "idle": "idle worker process",
    "dispatch": "dispatch, no store",
    "old_rows": "drain beside history, scheduled and dead jobs",
    "snapshot": "drain beside a held snapshot",
    "other_queues": "drain beside jobs of other queues",
    "unknown_tasks": "drain beside jobs of tasks nobody serves",
    "limited": "drain beside limited jobs of 10,000 keys",
    "many_queues": "drain, 1,000 queues served",
    "in_threads": "drain of a plain def task, in threads",
    "long": "a long drain",
}

_SCENARIOS = ("old_rows", "snapshot", "other_queues", "unknown_tasks", "limited", "many_queues", "in_threads", "long")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one measurement."""

    label: str
    measurement: str
    figure: str
    unit: str

    @property
    def is_rate(self) -> bool:
        """Whether more is better."""
        return self.unit == "jobs/s"


def _drain(measurement: str) -> tuple[Row, ...]:
    label = MEASUREMENTS[measurement]
    return (
        Row(label, measurement, "jobs_per_second", "jobs/s"),
        Row("… of so many jobs", measurement, "jobs", "jobs"),
        Row("… CPU of workers, a job", measurement, "worker_cpu", "µs"),
        Row("… CPU of database, a job", measurement, "database_cpu", "µs"),
        Row("… WAL, a job", measurement, "wal", "bytes"),
        Row("… peak memory of a worker", measurement, "worker_memory", "MB"),
        Row("… memory of the database", measurement, "database_memory", "MB"),
    )


ROWS = (
    Row("enqueue, one by one", "enqueue", "one", "jobs/s"),
    Row("enqueue, 64 at once", "enqueue", "at_once", "jobs/s"),
    Row("enqueue, bulk", "enqueue", "bulk", "jobs/s"),
    Row("… of so many jobs", "enqueue", "bulk_jobs", "jobs"),
    *_drain("drain_1"),
    *_drain("drain_2"),
    Row("pick-up latency, idle, p50", "latency", "idle_p50", "ms"),
    Row("pick-up latency, idle, p99", "latency", "idle_p99", "ms"),
    Row("pick-up latency, idle, max", "latency", "idle_max", "ms"),
    Row("pick-up latency, half load, p50", "latency", "half_p50", "ms"),
    Row("pick-up latency, half load, p99", "latency", "half_p99", "ms"),
    Row("pick-up latency, half load, max", "latency", "half_max", "ms"),
    Row("… at so many", "latency", "half_rate", "jobs/s"),
    Row("idle worker process, CPU of a core", "idle", "cpu_percent", "%"),
    Row("idle worker process, memory", "idle", "memory", "MB"),
    Row("idle worker process, transactions a second", "idle", "transactions", ""),
    Row("dispatch, no store", "dispatch", "jobs_per_second", "jobs/s"),
    *(Row(MEASUREMENTS[name], name, "jobs_per_second", "jobs/s") for name in _SCENARIOS),
    Row("held snapshot: last third of the jobs / first third", "snapshot", "flat", ""),
    Row("long drain: last third of the jobs / first third", "long", "flat", ""),
    Row("long drain: memory after a third", "long", "memory_third", "MB"),
    Row("long drain: memory at the end", "long", "memory_end", "MB"),
)
