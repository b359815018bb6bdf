"""Alerts: the rules that an app declares, and what they find.

::

    @app.alert(oldest=300, dead=1)
    def page(alert: Alert) -> None:
        send_sms(alert.text)
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from shlex import quote
from typing import NamedTuple

from turnspit.clock import Duration, to_duration, to_seconds
from turnspit.errors import ConfigurationError
from turnspit.loads import seconds_since
from turnspit.records import (
    FAILED_OUTCOMES,
    AlertKind,
    AlertState,
    CounterRecord,
    PauseRecord,
    StoreCounts,
    UnknownTask,
    WorkerRecord,
)

__all__ = [
    "BAD_ERROR_RATE",
    "DEAD_MINUTES",
    "ERROR_MINUTES",
    "FEWEST_ATTEMPTS",
    "NOTABLE_ERROR_RATE",
    "Alert",
    "AlertFunction",
    "AlertRule",
    "Found",
    "Sight",
    "count_failures",
    "find_alerts",
    "make_rule",
]

ERROR_MINUTES = 10
DEAD_MINUTES = 60
FEWEST_ATTEMPTS = 10
"""A task with fewer attempts than this has no error rate."""
NOTABLE_ERROR_RATE, BAD_ERROR_RATE = 0.2, 0.5
"""The shares of failed attempts at which ``turnspit doctor`` and the dashboard say so."""
_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that is wrong, or is not any more.

    ``oldest`` a queue's oldest ready job waits too long · ``error_rate`` too large a share of a task's attempts failed
    within ten minutes · ``dead`` too many jobs of a task became dead letters within an hour · ``no_worker`` jobs wait
    and no live worker serves their queue, or knows their task · ``blocked`` a worker's event loop does not respond.
    """

    kind: AlertKind
    subject: str
    """``queue email``, ``task send_confirmation``, ``worker box:4711#3``."""
    state: AlertState
    """``begins``, ``lasts`` (told again), ``over``."""
    since: datetime
    """When it began."""
    text: str
    """One line for people: what is so, and what to do."""
    value: float | None = None
    """Seconds, a share, a number of jobs; ``None`` once it is over."""


AlertFunction = Callable[[Alert], Awaitable[None] | None]


@dataclass(frozen=True, slots=True)
class AlertRule:
    """What one alert function wants to hear of. Durations are seconds, except for ``repeat``."""

    name: str
    function: AlertFunction
    oldest: float | None
    error_rate: float | None
    dead: int | None
    no_worker: float | None
    blocked: float | None
    queue: str | None
    task: str | None
    repeat: int
    """Microseconds."""


class Sight(NamedTuple):
    """What the rules look at."""

    counts: StoreCounts
    errors: Sequence[CounterRecord]
    """Of the last ``ERROR_MINUTES``."""
    ends: Sequence[CounterRecord]
    """Of the last ``DEAD_MINUTES``."""
    workers: Sequence[WorkerRecord]
    pauses: Sequence[PauseRecord]
    unknown: Sequence[UnknownTask]


class Found(NamedTuple):
    """Something that a rule found."""

    kind: AlertKind
    subject: str
    value: float
    text: str


def make_rule(
    function: AlertFunction,
    *,
    oldest: Duration | None,
    error_rate: float | None,
    dead: int | None,
    no_worker: Duration | None,
    blocked: Duration | None,
    queue: str | None,
    task: str | None,
    repeat: Duration,
) -> AlertRule:
    """The rule that ``@app.alert(...)`` declares.

    :raises ConfigurationError: if there is nothing to look for, or a number is out of range.
    """
    if oldest is error_rate is dead is no_worker is blocked is None:
        raise ConfigurationError(
            "alert() needs something to look for: oldest=, error_rate=, dead=, no_worker= or blocked="
        )
    if error_rate is not None and not 0 < error_rate <= 1:
        raise ConfigurationError(f"error_rate is a share of attempts, more than 0 and at most 1, not {error_rate!r}")
    if dead is not None and (not isinstance(dead, int) or isinstance(dead, bool) or dead < 1):
        raise ConfigurationError(f"dead is a number of dead letters, at least 1, not {dead!r}")
    return AlertRule(
        name=_name_of(function),
        function=function,
        oldest=None if oldest is None else to_seconds(oldest, "oldest"),
        error_rate=error_rate,
        dead=dead,
        no_worker=None if no_worker is None else to_seconds(no_worker, "no_worker"),
        blocked=None if blocked is None else to_seconds(blocked, "blocked"),
        queue=queue,
        task=task,
        repeat=to_duration(repeat, "repeat"),
    )


def _name_of(function: AlertFunction) -> str:
    """A name that is the same in every process. An object that is called has the name of its class."""
    kind = function if hasattr(function, "__qualname__") else type(function)
    return f"{kind.__module__}.{kind.__qualname__}"


def find_alerts(rule: AlertRule, sight: Sight) -> list[Found]:
    """What a rule finds now, except for queues and tasks that somebody paused."""
    paused = {(pause.kind, pause.name) for pause in sight.pauses}
    found: list[Found] = []
    if rule.oldest is not None:
        found += _oldest(sight, rule.oldest)
    if rule.error_rate is not None:
        found += _error_rates(sight.errors, rule.error_rate)
    if rule.dead is not None:
        found += _dead(sight.ends, rule.dead)
    if rule.no_worker is not None:
        found += _without_worker(sight, rule.no_worker)
    meant = [
        each for each in found if _is_meant(rule, each.subject) and tuple(each.subject.split(" ", 1)) not in paused
    ]
    return meant if rule.blocked is None else [*meant, *_blocked(sight, rule, rule.blocked)]


def _is_meant(rule: AlertRule, subject: str) -> bool:
    kind, _, name = subject.partition(" ")
    wanted = rule.queue if kind == "queue" else rule.task
    other = rule.task if kind == "queue" else rule.queue
    return name == wanted if wanted is not None else other is None


def _oldest(sight: Sight, limit: float) -> Iterator[Found]:
    for queue in sight.counts.queues:
        age = seconds_since(queue.oldest_ready_at, sight.counts.now)
        if age > limit:
            said = f"the oldest ready job of queue {queue.queue} has been due for {age:.0f} s (more than {limit:g} s)"
            yield Found("oldest", f"queue {queue.queue}", age, f"{said}: are there workers enough for it?")


def count_failures(counters: Iterable[CounterRecord]) -> dict[str, tuple[int, int]]:
    """By task, how many attempts failed and how many there were; only tasks with enough attempts to tell."""
    attempts: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for counter in counters:
        if counter.outcome == "completed" or counter.outcome in FAILED_OUTCOMES:
            attempts[counter.task] += counter.count
            failed[counter.task] += counter.count * (counter.outcome in FAILED_OUTCOMES)
    return {task: (failed[task], count) for task, count in attempts.items() if count >= FEWEST_ATTEMPTS}


def _error_rates(counters: Iterable[CounterRecord], limit: float) -> Iterator[Found]:
    for task, (failed, count) in count_failures(counters).items():
        share = failed / count
        if share > limit:
            said = f"{failed:,} of {count:,} attempts of task {task} failed within {ERROR_MINUTES} minutes"
            see = f"see turnspit jobs list --task {quote(task)}"
            yield Found("error_rate", f"task {task}", share, f"{said} ({share:.0%}): {see}")


def _dead(counters: Iterable[CounterRecord], limit: int) -> Iterator[Found]:
    dead: Counter[str] = Counter()
    for counter in counters:
        if counter.outcome == "dead":
            dead[counter.task] += counter.count
    for task, count in dead.items():
        if count >= limit:
            said = f"{count:,} jobs of task {task} became dead letters within {DEAD_MINUTES} minutes"
            yield Found("dead", f"task {task}", count, f"{said}: see turnspit dead groups")


def _without_worker(sight: Sight, limit: float) -> Iterator[Found]:
    live = [worker for worker in sight.workers if worker.live]
    now, everywhere = sight.counts.now, any(worker.queues is None for worker in live)
    served = {name for worker in live for name in worker.queues or ()}
    for queue in sight.counts.queues:
        age = seconds_since(queue.oldest_ready_at, now)
        if queue.ready and age > limit and not everywhere and queue.queue not in served:
            said = f"no live worker serves queue {queue.queue}, whose jobs have waited for {age:.0f} s"
            yield Found(
                "no_worker", f"queue {queue.queue}", age, f"{said}: start one with --queues {quote(queue.queue)}"
            )
    known = {name for worker in live for name in worker.tasks}
    for task in sight.unknown:
        age = seconds_since(task.since, now)
        if age > limit and task.task not in known:
            said = f"no live worker knows task {task.task}, whose jobs have waited for {age:.0f} s"
            yield Found("no_worker", f"task {task.task}", age, f"{said}: start a worker whose code declares it")


def _blocked(sight: Sight, rule: AlertRule, limit: float) -> Iterator[Found]:
    """Workers that are blocked. If the rule names a queue or a task, only those that would run its jobs."""
    for worker in sight.workers:
        is_meant = (rule.queue is None or worker.serves(rule.queue)) and (
            rule.task is None or rule.task in worker.tasks
        )
        age = seconds_since(worker.blocked_since, sight.counts.now)
        if worker.live and is_meant and age > limit:
            said = f"the event loop of worker {worker.name} has been blocked for {age:.0f} s by {worker.blocked_by}"
            cure = f"turnspit workers stop {worker.id} ends it after its grace time"
            yield Found("blocked", f"worker {worker.name}", age, f"{said}: {cure}")
