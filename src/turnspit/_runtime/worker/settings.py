"""What a worker is told."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from turnspit.alerts import AlertRule
from turnspit.blueprints import TaskRegistry
from turnspit.clock import Duration, to_duration
from turnspit.codec import check_text
from turnspit.contract import Engine
from turnspit.errors import ConfigurationError
from turnspit.events import EventBus
from turnspit.hooks import Lifespan, Middleware, ThreadMiddleware
from turnspit.retries import Retry
from turnspit.workflow_store import WorkflowWriter

__all__ = ["MOST_SLOTS", "WorkerParts", "WorkerSettings", "check_max_crashes", "make_settings"]

MOST_SLOTS = 1_000_000
"""No process runs so many jobs at once; a larger number is a mistake in typing, and may be one that no store takes."""
_SECOND = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How a worker works. Durations are seconds."""

    queues: tuple[str, ...] | None = None
    concurrency: int = 10
    grace: float = 25.0
    """How long running jobs may go on after a stop."""
    until_empty: bool = False
    lease: float = 15.0
    heartbeat: float = 5.0
    poll: float = 1.0
    """After how long a worker that heard of nothing looks again whether the jobs in its buffer may begin."""
    shares_loop: bool = False
    """Whether other code than its jobs runs on its event loop, and may block it while the worker is idle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerParts:
    """What a worker gets from its app."""

    app: Any
    name: str
    engine: Engine
    tasks: TaskRegistry
    bus: EventBus
    middleware: tuple[Middleware, ...]
    thread_middleware: tuple[ThreadMiddleware, ...]
    alerts: tuple[AlertRule, ...]
    lifespans: tuple[Lifespan, ...]
    retry: Retry
    timeout: int
    max_result: int
    max_crashes: int
    history_retention: int | None
    dead_retention: int | None
    version: str
    workflow_writer: WorkflowWriter


def check_max_crashes(value: int) -> int:
    """How often a job may crash its worker.

    :raises ConfigurationError: for what is no such number.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(f"max_crashes is a whole number of at least 1, not {value!r}")
    return value


def make_settings(
    queues: Iterable[str] | None,
    concurrency: int,
    grace: Duration,
    until_empty: bool,
    lease: Duration,
    heartbeat: Duration | None,
) -> WorkerSettings:
    """The settings of what a user gave; durations are seconds or ``timedelta``.

    :raises ConfigurationError: for what no worker can have.
    """
    if isinstance(queues, str):
        raise ConfigurationError(f"queues is a list of names, not {queues!r}")
    if not isinstance(concurrency, int) or not 1 <= concurrency <= MOST_SLOTS:
        raise ConfigurationError(f"concurrency is a whole number from 1 to {MOST_SLOTS:,}, not {concurrency!r}")
    lasts = to_duration(lease, "lease") / _SECOND
    beat = lasts / 3 if heartbeat is None else to_duration(heartbeat, "heartbeat") / _SECOND
    if not 0 < beat <= lasts / 2:
        raise ConfigurationError(
            f"heartbeat is more than 0 and at most half of the lease, so that one late heartbeat loses no job: "
            f"not {beat:g} s with a lease of {lasts:g} s"
        )
    served = None if queues is None else tuple(dict.fromkeys(check_text(queue, "a queue's name") for queue in queues))
    if served == ():
        raise ConfigurationError("queues is empty, so the worker would do nothing: name some, or leave it out for all")
    return WorkerSettings(
        queues=served,
        concurrency=concurrency,
        grace=to_duration(grace, "grace") / _SECOND,
        until_empty=until_empty,
        lease=lasts,
        heartbeat=beat,
    )
