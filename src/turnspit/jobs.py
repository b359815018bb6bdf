"""Jobs as a user sees them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar, cast

from turnspit.clock import Duration, from_moment, to_seconds
from turnspit.codec import decode, decode_list, decode_object
from turnspit.errors import JobCancelled, JobDead, ResultNotStored
from turnspit.other_queues import TellsWhatToWrite
from turnspit.records import AttemptRecord, JobRecord, LogLine
from turnspit.states import JobState

__all__ = ["Attempt", "Job", "JobFilter", "JobLog", "JobStore", "Page", "kept_result"]

R = TypeVar("R")
T = TypeVar("T")


class JobStore(Protocol):
    """How a ``Job`` reaches the store it came from; time-outs are seconds."""

    def get_record(self, job_id: int) -> JobRecord:
        """The job as it is stored now."""
        ...

    async def aget_record(self, job_id: int) -> JobRecord:
        """``get_record`` for async code."""
        ...

    def wait_final(self, job_id: int, timeout: float | None) -> JobRecord:
        """The job, once it has ended."""
        ...

    async def await_final(self, job_id: int, timeout: float | None) -> JobRecord:
        """``wait_final`` for async code."""
        ...

    def get_logs(self, job_id: int) -> list[LogLine]:
        """The lines that the job logged, oldest first."""
        ...

    async def aget_logs(self, job_id: int) -> list[LogLine]:
        """``get_logs`` for async code."""
        ...

    def load_result(self, record: JobRecord) -> Any:
        """The result as the task returned it."""
        ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a job."""

    number: int
    """From 1. An attempt that cost none, as a snooze or a crash, has the same number as the next."""
    outcome: str
    """``running``, ``completed``, ``failed``, ``snoozed``, ``cancelled``, ``dead``, ``invalid`` or ``crashed``."""
    started_at: datetime | None
    finished_at: datetime | None
    worker: str | None
    """``host:pid#id``."""
    error_type: str | None
    error_message: str | None
    traceback: str | None

    @classmethod
    def from_record(cls, record: AttemptRecord) -> "Attempt":
        """The attempt of a stored record."""
        return cls(
            record.number,
            record.outcome,
            from_moment(record.started_at),
            from_moment(record.finished_at),
            record.worker,
            record.error_type,
            record.error_message,
            record.traceback,
        )


@dataclass(frozen=True, slots=True)
class JobLog:
    """One line that a job logged."""

    attempt: int
    """The number of the attempt that logged it."""
    at: datetime | None
    """When it was stored, by the database's clock."""
    level: str
    """``debug``, ``info``, ``warning`` or ``error``."""
    message: str


class Job(TellsWhatToWrite, Generic[R]):
    """A snapshot of one job; ``refresh()`` reads it again.

    ::

        job = send_confirmation.enqueue(to="ada@example.com", order_id=7)
        job.get_result(timeout=10)
    """

    __slots__ = ("_record", "_store", "created")

    def __init__(self, record: JobRecord, store: JobStore, *, created: bool = False) -> None:
        self._record = record
        self._store = store
        self.created = created
        """Whether this call stored it. ``False`` if it was there before: found by ``get``, or by its unique key."""

    @property
    def id(self) -> int:
        """The job's number in its store; never used again."""
        return self._record.id

    @property
    def task(self) -> str:
        """The name of its task."""
        return self._record.task

    @property
    def queue(self) -> str:
        """The queue in which it waits."""
        return self._record.queue

    @property
    def state(self) -> JobState:
        """Where it stood when this snapshot was taken."""
        return self._record.state

    @property
    def priority(self) -> int:
        """Larger runs first."""
        return self._record.priority

    @property
    def args(self) -> dict[str, Any]:
        """The stored arguments, as JSON values."""
        return cast("dict[str, Any]", decode(self._record.args))

    @property
    def attempt(self) -> int:
        """The number of its newest attempt; 0 before the first."""
        return self._record.attempt

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every attempt, oldest first, with its error."""
        return tuple(Attempt.from_record(record) for record in self._record.attempts)

    @property
    def expires_at(self) -> datetime | None:
        """When it will be cancelled if no worker has taken it: what ``using(expires=)`` gave, else ``None``."""
        return from_moment(self._record.expires_at)

    @property
    def crashes(self) -> int:
        """How many workers died while running it."""
        return self._record.crashes

    @property
    def tags(self) -> tuple[str, ...]:
        """What ``using(tags=)`` gave."""
        return tuple(decode_list(self._record.tags))

    @property
    def metadata(self) -> dict[str, Any]:
        """What ``using(metadata=)`` gave."""
        return decode_object(self._record.metadata)

    @property
    def created_at(self) -> datetime:
        """When it was enqueued, by the database's clock."""
        return from_moment(self._record.created_at)

    @property
    def run_at(self) -> datetime:
        """When it is or was due."""
        return from_moment(self._record.run_at)

    @property
    def started_at(self) -> datetime | None:
        """When its newest attempt was claimed."""
        return from_moment(self._record.started_at)

    @property
    def finished_at(self) -> datetime | None:
        """When it reached a final state."""
        return from_moment(self._record.finished_at)

    @property
    def worker(self) -> str | None:
        """Which worker has or had it: ``host:pid#id``."""
        return self._record.worker

    @property
    def timeout(self) -> timedelta | None:
        """The time-out given by ``using(timeout=)``; ``None`` leaves it to the task."""
        return None if self._record.timeout is None else timedelta(microseconds=self._record.timeout)

    @property
    def progress(self) -> float | None:
        """The last fraction it reported."""
        return self._record.progress

    @property
    def progress_message(self) -> str | None:
        """The last message it reported."""
        return self._record.progress_message

    @property
    def progress_data(self) -> Any:
        """The last data it reported with its progress, as JSON values."""
        return None if self._record.progress_data is None else decode(self._record.progress_data)

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody asked to cancel it while it ran."""
        return self._record.cancel_requested_at is not None

    @property
    def reason(self) -> str | None:
        """Why it is held, cancelled or dead; while retrying, its last error."""
        return self._record.reason

    @property
    def error_type(self) -> str | None:
        """The type of its last error."""
        return self._record.error_type

    @property
    def fingerprint(self) -> str | None:
        """Which group of dead letters it belongs to."""
        return self._record.fingerprint

    @property
    def workflow(self) -> int | None:
        """The id of the workflow that it is part of."""
        return self._record.workflow

    @property
    def is_retrying(self) -> bool:
        """Whether it waits for another attempt."""
        return self._record.state is JobState.SCHEDULED and self._record.attempt > 0

    def refresh(self) -> "Job[R]":
        """Read the job again, into this object; returns it.

        :raises JobNotFound: if it was deleted or pruned.
        """
        self._record = self._store.get_record(self.id)
        return self

    async def arefresh(self) -> "Job[R]":
        """``refresh`` for async code."""
        self._record = await self._store.aget_record(self.id)
        return self

    def get_logs(self) -> list[JobLog]:
        """The lines it logged, oldest first."""
        return [_log(line) for line in self._store.get_logs(self.id)]

    async def aget_logs(self) -> list[JobLog]:
        """``get_logs`` for async code."""
        return [_log(line) for line in await self._store.aget_logs(self.id)]

    def get_result(self, timeout: Duration | None = None) -> R:
        """Wait until the job ends and return what its function returned. Works from any process.

        :param timeout: seconds or ``timedelta`` to wait; ``None`` waits for good, ``0`` only looks.
        :raises ResultTimeout: if it has not ended by then.
        :raises JobDead: if it is a dead letter.
        :raises JobCancelled: if it was cancelled.
        :raises ResultNotStored: if its result was not kept.
        """
        self._record = self._store.wait_final(self.id, _seconds(timeout))
        return self._result()

    async def aget_result(self, timeout: Duration | None = None) -> R:
        """``get_result`` for async code."""
        self._record = await self._store.await_final(self.id, _seconds(timeout))
        return self._result()

    def _result(self) -> R:
        record = self._record
        if record.state is JobState.DEAD:
            why = ": ".join(filter(None, (record.error_type, record.reason)))
            raise JobDead(f"job {record.id} ({record.task}) is dead: {why}")
        if record.state is JobState.CANCELLED:
            raise JobCancelled(f"job {record.id} ({record.task}) was cancelled: {record.reason}")
        if record.result is None:
            raise ResultNotStored(
                f"job {record.id} ({record.task}) completed, but its result was not kept"
                f"{': ' + record.reason if record.reason else ''}"
            )
        return cast("R", self._store.load_result(record))

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.task} {self.state}>"


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs a call is about: every field that is given must match.

    ``args`` matches top-level arguments by equality; ``error`` matches the type of the last error;
    times are aware datetimes.
    """

    id: int | None = None
    state: JobState | str | None = None
    queue: str | None = None
    task: str | None = None
    tag: str | None = None
    args: Mapping[str, Any] | None = None
    error: str | None = None
    fingerprint: str | None = None
    workflow: int | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    unique_key: str | None = None
    """Only the job that holds this key."""
    is_retrying: bool = False
    """Of scheduled jobs, only those with an attempt behind them."""

    @property
    def is_empty(self) -> bool:
        """Whether it matches every job."""
        return replace(self, args=self.args or None) == JobFilter()


class Page(list[T]):
    """A list with the cursor of its next page: ``list(..., after=page.next)``; ``None`` at the end."""

    def __init__(self, items: list[T], after: str | None) -> None:
        super().__init__(items)
        self.next = after


def kept_result(job: Job[R]) -> R:
    """What ``get_result`` returns or raises for a job that had ended when the snapshot was taken. For adapters."""
    return job._result()


def _seconds(timeout: Duration | None) -> float | None:
    return None if timeout is None else to_seconds(timeout, "timeout")


def _log(line: LogLine) -> JobLog:
    return JobLog(line.attempt, from_moment(line.at), line.level, line.message)
