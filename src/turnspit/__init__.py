"""Turnspit: a durable background-job queue for Python.

::

    from turnspit import Turnspit

    app = Turnspit("sqlite:///shop.db")

    @app.task
    async def greet(name: str) -> str:
        return f"Hello {name}"

    with app.worker():
        print(greet.enqueue(name="Ada").get_result(timeout=5))
"""

from turnspit._runtime.health import Health
from turnspit.alerts import Alert
from turnspit.app import Turnspit
from turnspit.batches import Batch
from turnspit.blueprints import Blueprint
from turnspit.context import JobContext, current_job
from turnspit.errors import (
    ConfigurationError,
    EngineUnavailable,
    InvalidArguments,
    InvalidPayload,
    JobCancelled,
    JobDead,
    JobExists,
    JobNotFound,
    JobTimeout,
    QueueFull,
    ResultTimeout,
    TurnspitError,
)
from turnspit.events import Event
from turnspit.jobs import Job
from turnspit.limits import Concurrency, Rate
from turnspit.operations import Workflow
from turnspit.outcomes import Cancel, GiveUp, RateLimited, RetryAfter, Snooze
from turnspit.queues import Queue
from turnspit.retries import Retry
from turnspit.schedules import Cron, Every
from turnspit.states import JobState
from turnspit.uniqueness import Debounce, Unique
from turnspit.workflows import WorkflowBuilder

__all__ = [
    "Alert",
    "Batch",
    "Blueprint",
    "Cancel",
    "Concurrency",
    "ConfigurationError",
    "Cron",
    "Debounce",
    "EngineUnavailable",
    "Event",
    "Every",
    "GiveUp",
    "Health",
    "InvalidArguments",
    "InvalidPayload",
    "Job",
    "JobCancelled",
    "JobContext",
    "JobDead",
    "JobExists",
    "JobNotFound",
    "JobState",
    "JobTimeout",
    "Queue",
    "QueueFull",
    "Rate",
    "RateLimited",
    "ResultTimeout",
    "Retry",
    "RetryAfter",
    "Snooze",
    "Turnspit",
    "TurnspitError",
    "Unique",
    "Workflow",
    "WorkflowBuilder",
    "current_job",
]

__version__ = "0.1.0"

for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
