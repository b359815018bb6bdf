"""Queues, workers, schedules and figures as the dashboard and the API show them."""

from datetime import datetime
from typing import Any, Literal

from turnspit.web.models.base import Count, Document
from turnspit.web.models.jobs import JobDocument

__all__ = [
    "Attention",
    "Bar",
    "FullKeyDocument",
    "Latency",
    "LimitDocument",
    "Metrics",
    "Overview",
    "PauseDocument",
    "QueueDocument",
    "ScheduleDocument",
    "Series",
    "TaskFigures",
    "WorkerDocument",
]


class PauseDocument(Document):
    """A queue, a task or a tag of which no job starts."""

    kind: Literal["queue", "task", "tag"]
    name: str
    since: datetime


class LimitDocument(Document):
    """A limit as it applies now."""

    name: str
    """Of a task, `queue` and a queue's name, or a name of the app's own."""
    kind: str
    """`rate` or `concurrency`."""
    allowed: int
    per: float | None
    """Seconds; of a rate."""
    burst: int | None
    declared: int | None
    """How many the app allows; null where this app does not declare it."""
    is_changed: bool
    """Whether it was changed at run time."""


class FullKeyDocument(Document):
    """A key of a limit that lets none through now, and for which jobs wait."""

    name: str
    """Of a task, `queue` and a queue's name, or a name of the app's own."""
    kind: str
    """`rate` or `concurrency`."""
    key: str
    """The values of the key as JSON; empty where the limit has no key."""
    allowed: int
    taken: int
    """How many run, of a concurrency; how many began within the last `per` seconds, of a rate."""
    per: float | None
    """Seconds; of a rate."""
    opens_at: datetime | None
    """When one more may begin, of a rate."""


class Attention(Document):
    """Something that a person should see to."""

    severity: str
    """``bad``: jobs do not get done; ``warn``: look at it soon."""
    title: str
    detail: str
    """Why, and what to do."""
    link: str | None = None
    """The screen that shows it."""
    command: str | None = None
    """What to type in a shell."""
    replay: str | None = None
    """The group of dead letters that can be replayed from here."""
    resume_schedule: str | None = None
    """The schedule that can be resumed from here."""
    resume: "PauseDocument | None" = None
    """The pause that can be ended from here."""


class Series(Document):
    """Attempts that ended, by slots of time, oldest first; the last slot is not over yet."""

    step: int
    """Minutes of one slot."""
    completed: list[int]
    failed: list[int]


class Latency(Document):
    """Percentiles in seconds over a sample of completed jobs."""

    sample: int
    """How many jobs the sample has."""
    p50: float | None
    p95: float | None
    p99: float | None


class Bar(Document):
    """One bar of a histogram."""

    at_most: float
    """Seconds."""
    count: int
    """Jobs of the sample that took at most so long, and longer than the bar before says."""


class QueueDocument(Document):
    """A queue at one moment."""

    name: str
    paused_at: datetime | None
    ready: Count
    scheduled: Count
    retrying: Count
    held: Count
    """By a limit or a pause of a task or tag, or because no live worker knows their task."""
    unknown: Count
    """Of these, those whose task no live worker knows."""
    running: Count
    dead: Count
    oldest_seconds: float | None
    """The longest wait of the jobs that are next: the first ready one of each priority."""
    completed_per_minute: float
    """Over the last five whole minutes."""
    error_rate: float | None
    """The share of attempts of the last 15 minutes that failed."""
    workers: int
    """Live workers that serve it."""
    series: Series
    """The last hour."""
    wait: Latency
    """From due until begun, over the last hour."""


class WorkerDocument(Document):
    """A worker process."""

    id: int
    host: str
    pid: int
    version: str
    queues: list[str] | None
    """``None``: all."""
    tasks: list[str]
    concurrency: int
    running: int
    """How many jobs it has claimed."""
    memory: int | None
    """Bytes of its process at the last heartbeat, where its system says so."""
    asked_to: str | None
    """`quiet` or `stop`, as somebody asked of it."""
    blocked_since: datetime | None
    """From when on its event loop has answered nothing; null while it answers."""
    blocked_by: str | None
    """The job and the line of code that its event loop is in."""
    state: str
    """``live``, ``blocked`` (its event loop is), ``late`` (its lease runs out soon), ``lost`` (it ended without saying
    so) or ``stopped``."""
    started_at: datetime
    renewed_at: datetime
    stopped_at: datetime | None
    jobs: list[JobDocument]
    """What it runs now, as far as it is listed."""


class ScheduleDocument(Document):
    """A recurring job."""

    app: str
    name: str
    task: str
    rule: str
    args: Any
    missed: str
    overlap: str
    is_declared: bool
    is_paused: bool
    is_own: bool
    """Whether it is one of this app: others can only be looked at."""
    next_tick: datetime | None
    last_tick: datetime | None
    last_job: int | None
    waiting: int
    upcoming: list[datetime]
    """The next ticks."""


class TaskFigures(Document):
    """A task over a span of time."""

    task: str
    completed: int
    failed: int
    dead: int
    retried: int
    error_rate: float | None
    mean_seconds: float | None
    """Mean run time of the attempts that completed."""
    series: Series
    run: Latency
    wait: Latency


class Metrics(Document):
    """Throughput, latency and errors over a span of time."""

    span: int
    """Minutes."""
    series: Series
    begins: datetime
    completed: int
    failed: int
    wait: Latency
    run: Latency
    wait_by_slot: list[Latency]
    run_by_slot: list[Latency]
    tasks: list[TaskFigures]
    run_histogram: list[Bar]
    wait_histogram: list[Bar]


class Overview(Document):
    """All that matters, on one page."""

    at: datetime
    attention: list[Attention]
    ready: Count
    running: Count
    scheduled: Count
    retrying: Count
    held: Count
    dead: Count
    completed_per_minute: float
    error_rate: float | None
    wait: Latency
    run: Latency
    workers: int
    slots: int
    """Jobs that all live workers can run at once."""
    series: Series
    queues: list[QueueDocument]
