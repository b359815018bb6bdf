"""What a running job knows about itself.

A task that takes a leading ``JobContext`` receives it; anywhere below, ``current_job()`` finds it.

>>> context = JobContext.detached("make_invoice")
>>> context.progress(0.5, "rendering")
>>> context.attempt
1
"""

import threading
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, TypeVar, overload

from turnspit.clock import Duration, from_moment, to_seconds
from turnspit.codec import decode, decode_list, decode_object, encode
from turnspit.errors import JobCancelled, JobTimeout, TurnspitError
from turnspit.iterating import Iteration
from turnspit.other_queues import TellsWhatToWrite
from turnspit.records import Claim, JobRecord
from turnspit.reporting import Reporter, Silent
from turnspit.workflows import WorkflowBuilder

T = TypeVar("T")

__all__ = ["JobContext", "Reporter", "activate_job", "claim_of", "current_job", "in_job", "is_inside_job"]


_MOST_DATA = 64 * 1024
_LEVELS = ("debug", "info", "warning", "error")


class JobContext(TellsWhatToWrite):
    """The running job: who it is, what it may use, and how it reports.

    ::

        @app.task
        def make_invoice(job: JobContext, order_id: int) -> str:
            job.progress(0.5, "rendering")
            return job.resources["printer"].render(order_id)
    """

    __slots__ = (
        "_claim",
        "_cursors",
        "_iterations",
        "_on_stop",
        "_on_yield",
        "_reporter",
        "_stop",
        "call",
        "carrier",
        "finishing",
        "resources",
        "result_text",
        "should_yield",
        "stop_reason",
        "thread",
    )

    def __init__(self, claim: Claim, reporter: Reporter, resources: Mapping[str, Any]) -> None:
        self._claim = claim
        self._reporter = reporter
        self._stop: threading.Event | None = None
        self._on_stop: Callable[[str], None] | None = None
        self._cursors: dict[str, Any] = {} if claim.cursor is None else decode(claim.cursor)
        self._iterations: set[str] = set()
        self._on_yield: Callable[[], None] | None = None
        self.should_yield = False
        """Whether its worker is stopping: an iteration ends between two items, and the job goes back to its queue."""
        self.resources = resources
        """What the app's lifespan provided."""
        self.stop_reason: str | None = None
        self.thread: int | None = None
        """The thread in which a plain function runs now."""
        self.call: Future[Any] | None = None
        """The call of a plain function while it runs; it outlives the event loop that awaits it."""
        self.result_text: str | None = None
        """The text in which the result came from a process of the job's own."""
        self.finishing = False
        """Whether ``finish()`` was called: the job is completed if its transaction commits."""
        self.carrier: Mapping[str, str] | None = None
        """The attempt's trace, for a task that runs in a process of its own (``isolate=True``). For telemetry."""

    @classmethod
    def detached(cls, task: str = "detached", resources: Mapping[str, Any] | None = None) -> "JobContext":
        """A context for a plain call or a unit test: attempt 1 of job 0, reporting to nobody."""
        claim = Claim(
            id=0,
            fence=0,
            task=task,
            queue="default",
            args="{}",
            attempt=1,
            crashes=0,
            priority=0,
            created_at=0,
            run_at=0,
            started_at=0,
            retry=None,
            timeout=None,
            tags=None,
            metadata=None,
        )
        return cls(claim, Silent(), resources or {})

    @classmethod
    def of_record(cls, record: JobRecord, reporter: Reporter, resources: Mapping[str, Any]) -> "JobContext":
        """The context of a stored job that is not running."""
        claim = Claim(
            id=record.id,
            fence=record.fence,
            task=record.task,
            queue=record.queue,
            args=record.args,
            attempt=record.attempt,
            crashes=record.crashes,
            priority=record.priority,
            created_at=record.created_at,
            run_at=record.run_at,
            started_at=record.started_at or record.run_at,
            retry=record.retry,
            timeout=record.timeout,
            tags=record.tags,
            metadata=record.metadata,
            workflow=record.workflow,
        )
        return cls(claim, reporter, resources)

    @property
    def id(self) -> int:
        """The job's id: the same for every attempt and after a replay."""
        return self._claim.id

    @property
    def task(self) -> str:
        """The name of the task."""
        return self._claim.task

    @property
    def queue(self) -> str:
        """The queue it was claimed from."""
        return self._claim.queue

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self._claim.attempt

    @property
    def created_at(self) -> datetime:
        """When the job was enqueued."""
        return from_moment(self._claim.created_at)

    @property
    def metadata(self) -> dict[str, Any]:
        """What ``using(metadata=)`` gave."""
        return decode_object(self._claim.metadata)

    @property
    def tick(self) -> datetime | None:
        """When this job was due by its schedule, in UTC, however late it runs; ``None`` for a job of no schedule."""
        tick = self.metadata.get("tick") if "schedule" in self.metadata else None
        return None if tick is None else datetime.fromisoformat(tick)

    @property
    def tags(self) -> tuple[str, ...]:
        """What ``using(tags=)`` gave."""
        return tuple(decode_list(self._claim.tags))

    @property
    def idempotency_key(self) -> str:
        """A text that is the same for every attempt of this job: give it to the e-mail or payment service."""
        return f"turnspit-{self._claim.task}-{self._claim.id}"

    def progress(self, fraction: float, message: str | None = None, *, data: Any = None) -> None:
        """Report how far the job is; stored soon, not at once, and only the newest report.

        :param fraction: from 0 to 1.
        :param message: a short text for people.
        :param data: JSON values for programs, which find them as ``job.progress_data``; 64 KiB at most.
        :raises ValueError: if ``fraction`` is not from 0 to 1.
        :raises InvalidPayload: if ``data`` cannot be stored as JSON, or is too large.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress is a fraction from 0 to 1, not {fraction!r}")
        text = None if data is None else encode(data, what="progress data", limit=_MOST_DATA)
        self._reporter.report_progress(self._claim, float(fraction), message, text)

    @overload
    def iterate(
        self, source: Callable[[Any], AsyncIterable[T]], *, key: Callable[[T], Any], name: str = "items"
    ) -> Iteration[T]: ...
    @overload
    def iterate(
        self, source: Callable[[Any], Iterable[T]] | Iterable[T], *, key: Callable[[T], Any], name: str = "items"
    ) -> Iteration[T]: ...
    def iterate(self, source: Any, *, key: Callable[[Any], Any], name: str = "items") -> Iteration[Any]:
        """Go through many items in a way that can be interrupted: ``for`` or ``async for`` over what this returns.

        The job keeps which item was done last. When its worker stops, the job goes back to its queue between two items.
        Its next attempt goes on after the last item that was done, and so does the attempt after a failure or a crash.
        After a crash, the items of the last quarter of a second come again.

        :param source: a function that takes the key of the last item that was done (``None`` at first) and returns the
            items after it, as an iterable or an async iterable; or an iterable that always begins with the same items.
        :param key: a function that returns an item's key: JSON values by which ``source`` finds its place again.
        :param name: of this iteration, if a job has several.
        :raises TurnspitError: if this attempt has an iteration of this name already.

        ::

            @app.task(timeout=86_400)
            async def import_customers(job: JobContext) -> None:
                async for row in job.iterate(customers_after, key=lambda row: row.id):
                    await store(row)
        """
        if name in self._iterations:
            raise TurnspitError(f"job {self.id} ({self.task}) iterates over {name!r} twice: give each a name=")
        self._iterations.add(name)
        return Iteration(self, source, key, name)

    def cursor_of(self, name: str) -> tuple[Any, bool]:
        """How far an iteration is: the key of its last item, and whether it is complete. Called by the worker."""
        found = self._cursors.get(name)
        return (None, False) if found is None else (found[0], bool(found[1]))

    def move_cursor(self, name: str, key: Any, *, is_complete: bool) -> None:
        """Keep how far an iteration is. Called by the worker."""
        self._cursors[name] = [key, is_complete]
        self._reporter.report_cursor(self._claim, encode(self._cursors, what=f"keys of {name}"))

    def keep_cursors(self, text: str) -> None:
        """Keep the cursors that the job's own process (``isolate=True``) reported. For the worker."""
        self._reporter.report_cursor(self._claim, text)

    def log(self, message: str, level: str = "info") -> None:
        """Keep a line with the job, for ``turnspit jobs show`` and the dashboard.

        :param level: ``"debug"``, ``"info"``, ``"warning"`` or ``"error"``.
        :raises ValueError: for another level.
        """
        if level not in _LEVELS:
            raise ValueError(f"a log level is one of {', '.join(_LEVELS)}, not {level!r}")
        self._reporter.report_log(self._claim, level, message)

    def finish(self, tx: object, result: Any = None) -> None:
        """Complete this job inside your own transaction, with the rows that are its work: exactly once, together.

        If the transaction commits, the job is completed, whatever happens to this process. If it does not, nothing
        was done, and the attempt has failed (``FinishNotCommitted``, or what the task raised). It must have ended
        when the task returns; what the task returns is then not used.

        :param tx: as for ``using(tx=)``: a connection or session of yours on the same database.
        :param result: what ``get_result()`` returns.
        :raises LostClaim: if the job is another worker's by now: let your transaction roll back.

        ::

            @app.task
            def charge(job: JobContext, order_id: int) -> None:
                with Session(database) as session, session.begin():
                    session.add(Payment(order_id=order_id))
                    job.finish(session, result="charged")
        """
        self.finishing = True
        self._reporter.finish_in(tx, self._claim, result)

    async def afinish(self, tx: object, result: Any = None) -> None:
        """``finish`` for async code."""
        self.finishing = True
        await self._reporter.afinish_in(tx, self._claim, result)

    @property
    def workflow(self) -> int | None:
        """The id of the workflow that this job is part of."""
        return self._claim.workflow

    def extend_workflow(self) -> WorkflowBuilder:
        """Add jobs to this job's own workflow: work that is found at run time.

        They begin at once, beside this job. Another attempt of this job that adds the same adds nothing twice. A job of
        the workflow that waits for this one can be made to wait for them too.

        :raises MoveNotAllowed: when the block ends, if this job is in no workflow, that one was cancelled, or a job of
            ``before`` does not wait any more; nothing is added then.
        :raises LostClaim: when the block ends, if the job is another worker's by now.

        ::

            @app.task
            def split(job: JobContext, file: str) -> None:
                with job.extend_workflow() as flow:
                    flow.add_many((count.new(part) for part in parts_of(file)), before=["add up"])
        """
        return self._reporter.extend_workflow(self._claim)

    @property
    def cancelled(self) -> bool:
        """Whether this attempt should stop: cancelled, timed out, or shutting down.

        An async task is cancelled by itself. A thread cannot be stopped from outside: a long plain function
        looks here between its steps, or calls ``raise_if_cancelled()``.
        """
        return self.stop_reason is not None

    def raise_if_cancelled(self) -> None:
        """Raise if this attempt should stop.

        :raises JobTimeout: after the time-out.
        :raises JobCancelled: after a cancellation or at shutdown.
        """
        if self.stop_reason == "timeout":
            raise JobTimeout(f"job {self.id} ({self.task}) stopped itself after its time-out")
        if self.stop_reason is not None:
            raise JobCancelled(f"job {self.id} ({self.task}) was told to stop: {self.stop_reason}")

    def wait_cancelled(self, timeout: Duration) -> bool:
        """Wait in a thread until the attempt should stop; whether it should.

        :param timeout: seconds or ``timedelta`` to wait at most.
        """
        if self._stop is None:
            self._stop = threading.Event()
        if self.cancelled:
            return True
        self._stop.wait(to_seconds(timeout, "timeout"))
        return self.cancelled

    def stop(self, reason: str) -> None:
        """Tell the attempt to stop. Called by the worker."""
        if self.stop_reason is None:
            self.stop_reason = reason
        if self._stop is not None:
            self._stop.set()
        if self._on_stop is not None:
            self._on_stop(self.stop_reason)

    def ask_to_yield(self) -> None:
        """Its worker is stopping. Called by the worker."""
        self.should_yield = True
        if self._on_yield is not None:
            self._on_yield()

    def on_yield(self, call: Callable[[], None]) -> None:
        """Call ``call`` when the worker is stopping, or now if it is. Called by the worker."""
        self._on_yield = call
        if self.should_yield:
            call()

    def on_stop(self, call: Callable[[str], None]) -> None:
        """Call ``call`` with the reason when the attempt is told to stop, or now if it was. Called by the worker."""
        self._on_stop = call
        if self.stop_reason is not None:
            call(self.stop_reason)

    def __repr__(self) -> str:
        return f"<JobContext job={self.id} task={self.task!r} attempt={self.attempt}>"


def claim_of(context: JobContext) -> Claim:
    """The claim of a running job. For the worker."""
    return context._claim


_current: ContextVar[JobContext] = ContextVar("turnspit_current_job")

activate_job = _current.set


@contextmanager
def in_job(context: JobContext) -> Iterator[None]:
    """Make ``current_job()`` return this one inside the block."""
    token = activate_job(context)
    try:
        yield
    finally:
        _current.reset(token)


def is_inside_job() -> bool:
    """Whether a job is running here, so that ``current_job()`` returns it."""
    return _current.get(None) is not None


def current_job() -> JobContext:
    """The job that is running here.

    :raises TurnspitError: outside a job.
    """
    try:
        return _current.get()
    except LookupError:
        raise TurnspitError("current_job() was called outside a job") from None
