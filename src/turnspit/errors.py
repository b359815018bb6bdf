"""Every exception Turnspit raises, under one root.

::

    TurnspitError
    ├── ConfigurationError        the app, a task or a URL is declared wrongly
    │   └── NotIncluded           a blueprint's task used before app.include()
    ├── InvalidArguments          the arguments do not fit the task's signature
    ├── InvalidPayload            the arguments or a result cannot be stored as JSON, or are too large
    ├── EngineError               the store said no
    │   ├── EngineUnavailable     the store cannot be reached in time
    │   │   └── StoreRefused      and never will be: the URL or the server is wrong
    │   ├── SchemaMismatch        the store was made by another release
    │   ├── StoreFrozen           the store's jobs are moved, or were moved, to another store
    │   └── InvalidTransaction    tx= cannot carry this call
    ├── QueueFull                 as many jobs wait in this queue as may
    ├── JobExists                 another job holds this one's unique key
    ├── JobNotFound               no job has this id
    ├── MoveNotAllowed            the job's state does not allow what was asked
    ├── ScheduleNotFound          no schedule has this name
    ├── WorkerNotFound            no live worker has this id
    ├── WorkflowNotFound          no workflow has this id
    ├── ResultError               get_result() has nothing to return
    │   ├── ResultTimeout         the job did not end in time
    │   ├── ResultNotStored       it ended, but its result was not kept
    │   ├── JobDead               it ended as a dead letter
    │   └── JobCancelled          it was cancelled
    ├── FinishNotCommitted        job.finish(tx) was called, but its transaction did not commit
    ├── JobTimeout                an attempt ran longer than its time-out
    ├── ProcessDied               the process of an attempt with isolate=True died
    ├── LimitTimeout              app.limits.acquire() did not get a permit in time
    ├── LostClaim                 this claim of the job is no longer the current one
    └── WorkerDied                the job's worker was killed, or fell silent

Each message says what happened, to which job or task, and what to do.
"""

__all__ = [
    "ConfigurationError",
    "EngineError",
    "EngineUnavailable",
    "FinishNotCommitted",
    "InvalidArguments",
    "InvalidPayload",
    "InvalidTransaction",
    "JobCancelled",
    "JobDead",
    "JobExists",
    "JobNotFound",
    "JobTimeout",
    "LimitTimeout",
    "LostClaim",
    "MoveNotAllowed",
    "NotIncluded",
    "ProcessDied",
    "QueueFull",
    "ResultError",
    "ResultNotStored",
    "ResultTimeout",
    "ScheduleNotFound",
    "SchemaMismatch",
    "StoreFrozen",
    "StoreRefused",
    "TurnspitError",
    "WorkerDied",
    "WorkerNotFound",
    "WorkflowNotFound",
]


class TurnspitError(Exception):
    """The root of all errors raised by Turnspit."""


class ConfigurationError(TurnspitError):
    """The app, a task, a blueprint or a URL is declared wrongly."""


class NotIncluded(ConfigurationError):
    """A blueprint's task was used before its blueprint was included in an app."""


class InvalidArguments(TurnspitError, ValueError):
    """The arguments do not fit the task's signature. Nothing was stored."""


class InvalidPayload(TurnspitError, ValueError):
    """The arguments or the result cannot be stored as JSON, or are too large."""


class EngineError(TurnspitError):
    """The store refused a statement."""


class EngineUnavailable(EngineError):
    """The store could not be reached, or did not answer before the deadline.

    The message says whether the call was carried out: it was not, or nobody can know.
    """


class StoreRefused(EngineUnavailable):
    """The URL or the server is wrong, or the login is refused. Trying again does not help."""


class SchemaMismatch(EngineError):
    """The store's schema is not the one this release works with."""


class StoreFrozen(EngineError):
    """The store takes nothing: ``turnspit move`` moves its jobs to another store, or has done so."""


class InvalidTransaction(EngineError):
    """The object given as ``tx=`` cannot carry this call."""


class JobExists(TurnspitError):
    """Another job holds the unique key, and the task says ``on_conflict="raise"``. Nothing was stored.

    ``job_id`` is that job's id.
    """

    def __init__(self, message: str, job_id: int | None = None) -> None:
        super().__init__(message)
        self.job_id = job_id


class QueueFull(TurnspitError):
    """As many jobs wait in the queue as its ``max_waiting`` says. Nothing was stored."""


class JobNotFound(TurnspitError, LookupError):
    """No job has this id: it never existed, its transaction has not committed, or it was deleted or pruned."""

    @classmethod
    def of(cls, job_id: int) -> "JobNotFound":
        """The error for this id."""
        return cls(
            f"there is no job {job_id}: it never existed, its transaction has not committed, or it was deleted or "
            "pruned"
        )


class ScheduleNotFound(TurnspitError, LookupError):
    """No schedule of the app has this name."""


class WorkflowNotFound(TurnspitError, LookupError):
    """No workflow has this id: it never existed, its transaction has not committed, or it was pruned."""

    @classmethod
    def of(cls, workflow: int) -> "WorkflowNotFound":
        """The error for this id."""
        return cls(
            f"there is no workflow {workflow}: it never existed, its transaction has not committed, or it was pruned"
        )


class WorkerNotFound(TurnspitError, LookupError):
    """No live worker has this id."""


class MoveNotAllowed(TurnspitError):
    """The job's state does not allow this move (see ``turnspit.states``)."""


class ResultError(TurnspitError):
    """``get_result`` has nothing to return."""


class ResultTimeout(ResultError, TimeoutError):
    """The job did not end within the time given to ``get_result``."""


class LimitTimeout(TurnspitError, TimeoutError):
    """A limit let nothing through within the time given to ``app.limits.acquire``."""


class ResultNotStored(ResultError):
    """The job completed, but its result was not kept."""


class JobDead(ResultError):
    """The job ended as a dead letter; the message carries its last error."""


class JobCancelled(ResultError):
    """The job was cancelled."""


class FinishNotCommitted(TurnspitError):
    """A task called ``job.finish(tx)`` and returned, but that transaction did not commit: the attempt has failed."""


class JobTimeout(TurnspitError, TimeoutError):
    """An attempt ran longer than its time-out."""


class ProcessDied(TurnspitError):
    """The process in which a task with ``isolate=True`` ran died, or could not start. Its worker goes on."""


class LostClaim(TurnspitError):
    """This claim is no longer the current one: another worker owns the job now."""


class WorkerDied(TurnspitError):
    """The job's worker died: its process was seen to end, or it stopped renewing its lease."""
