"""Watching a job or a workflow from any process: ``app.events(job=42)``.

What a worker tells its own handlers (``@app.on``) stays in its process. Here the store is looked at, at each of its
wakes and every quarter of a second, and what has changed becomes events: so nothing is missed that the store keeps, and
progress comes as it is stored.
"""

from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator

from turnspit.clock import monotonic
from turnspit.codec import decode
from turnspit.contract import Engine
from turnspit.contract.verbs import Verb, Wake, WakeKind
from turnspit.errors import ConfigurationError, JobNotFound, WorkflowNotFound
from turnspit.events import Event, FollowedName
from turnspit.job_waiting import set_at_wakes, set_at_wakes_in_loop, wait_at_most
from turnspit.jobs import JobFilter
from turnspit.records import AttemptRecord, JobRecord
from turnspit.states import JobState

__all__ = ["EventFollower"]

_LOOK_AGAIN = 0.25
_LONGEST_SHARE = 20
"""Looking takes at most this part of the time: a twentieth."""
_PAGE = 1000
_NAMES: dict[str, FollowedName] = {
    "completed": "completed",
    "failed": "failed",
    "invalid": "failed",
    "snoozed": "snoozed",
    "cancelled": "cancelled",
    "dead": "dead",
    "crashed": "rescued",
}
_NONE = (None, None, None)
_RELEVANT = (WakeKind.FINISHED, WakeKind.WORKFLOW, WakeKind.READY, WakeKind.SCHEDULED)


class EventFollower:
    """``app.events`` and ``app.aevents``."""

    @property
    @abstractmethod
    def engine(self) -> Engine:
        """The store."""

    def events(self, *, job: int | None = None, workflow: int | None = None) -> Iterator[Event]:
        """What happens to a job, or to the jobs of a workflow, until it has ended. From any process.

        It begins with the state that it finds: an attempt that runs, or the end. Of the reports of progress within a
        quarter of a second, only the newest is seen.

        :raises ConfigurationError: unless exactly one of ``job`` and ``workflow`` is given.
        :raises JobNotFound: if there is no such job.
        :raises WorkflowNotFound: if there is no such workflow.

        ::

            for event in app.events(job=42):
                print(event.name, event.progress, event.progress_message)
        """
        following = _Following(self.engine, job, workflow)
        with set_at_wakes(self.engine, _is_relevant) as woken:
            while True:
                woken.clear()
                began = monotonic()
                yield from following.changes(self.engine.read(following.look))
                if following.has_ended:
                    return
                woken.wait(_pause(began))

    async def aevents(self, *, job: int | None = None, workflow: int | None = None) -> AsyncIterator[Event]:
        """``events`` for async code: ``async for event in app.aevents(workflow=7)``."""
        following = _Following(self.engine, job, workflow)
        with set_at_wakes_in_loop(self.engine, _is_relevant) as woken:
            while True:
                woken.clear()
                began = monotonic()
                for event in following.changes(await self.engine.aread(following.look)):
                    yield event
                if following.has_ended:
                    return
                await wait_at_most(woken, _pause(began))


class _Seen:
    """Which events of one job were given before."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.progress: tuple[float | None, str | None, str | None] = _NONE
        self.is_final = False


class _Following:
    """One job, or the jobs of one workflow, as they were when they were last looked at."""

    def __init__(self, engine: Engine, job: int | None, workflow: int | None) -> None:
        if (job is None) == (workflow is None):
            raise ConfigurationError("events() follows one job or one workflow: say job= or workflow=")
        self._engine = engine
        self._job = job
        self._workflow = workflow
        self._seen: dict[int, _Seen] = {}
        self._is_first = True
        self.has_ended = False

    def look(self) -> Verb[tuple[bool, list[JobRecord]]]:
        """Whether all has ended, and the jobs."""
        engine = self._engine
        if self._job is not None:
            record = yield from engine.get_job(self._job)
            if record is None:
                raise JobNotFound.of(self._job)
            return record.state.is_final, [record]
        assert self._workflow is not None
        workflow = yield from engine.get_workflow(self._workflow)
        if workflow is None:
            raise WorkflowNotFound.of(self._workflow)
        filter_, before = JobFilter(workflow=self._workflow), None
        records: list[JobRecord] = []
        while page := (yield from engine.list_jobs(filter_, _PAGE, before)):
            records += page
            before = page[-1].id
        return workflow.finished_at is not None, records

    def changes(self, looked: tuple[bool, list[JobRecord]]) -> Iterator[Event]:
        """What has happened since the last look."""
        self.has_ended, records = looked
        # The oldest first: at one moment (SQLite has milliseconds) a job's end comes before the start that it allows.
        oldest_first = sorted(records, key=lambda record: record.id)
        found = [event for record in oldest_first for event in self._of(record)]
        self._is_first = False
        yield from (event for _, event in sorted(found, key=lambda each: each[0]))

    def _of(self, record: JobRecord) -> Iterator[tuple[int, Event]]:
        """The events of a job since the last look, each with its moment."""
        seen = self._seen.setdefault(record.id, _Seen())
        if self._is_first:
            # Of attempts that ended before, only the one that ended the job is told.
            past = [each.fence for each in record.attempts if each.outcome != "running"]
            seen.begun = seen.ended = max(past, default=0) - record.state.is_final
        for attempt in record.attempts:
            if attempt.fence > seen.begun:
                seen.begun = attempt.fence
                yield attempt.started_at or 0, self._event("started", record, attempt)
            if attempt.fence > seen.ended and attempt.outcome in _NAMES:
                seen.ended = attempt.fence
                seen.is_final = attempt.outcome == record.state and attempt is record.attempts[-1]
                yield attempt.finished_at or 0, self._event(_NAMES[attempt.outcome], record, attempt)
        progress = (record.progress, record.progress_message, record.progress_data)
        if progress != seen.progress and record.state is JobState.RUNNING and progress != _NONE:
            yield record.started_at or 0, self._event("progress", record)
        seen.progress = progress
        if record.state.is_final and not seen.is_final:
            seen.is_final = True
            yield record.finished_at or 0, self._event(_NAMES[str(record.state)], record)
        elif not record.state.is_final:
            seen.is_final = False

    @staticmethod
    def _event(name: FollowedName, record: JobRecord, attempt: AttemptRecord | None = None) -> Event:
        seconds = None
        if attempt is not None and None not in (attempt.started_at, attempt.finished_at) and name != "started":
            seconds = ((attempt.finished_at or 0) - (attempt.started_at or 0)) / 1_000_000
        return Event(
            name,
            record.id,
            record.task,
            record.queue,
            record.attempt if attempt is None else attempt.number,
            record.error_type if attempt is None else attempt.error_type,
            record.reason if attempt is None else attempt.error_message,
            seconds,
            progress=record.progress,
            progress_message=record.progress_message,
            progress_data=None if record.progress_data is None else decode(record.progress_data),
        )


def _is_relevant(wake: Wake) -> bool:
    return wake.kind in _RELEVANT


def _pause(began: float) -> float:
    """Seconds until the next look: longer after a look that took long, as at a large workflow."""
    return max(_LOOK_AGAIN, (monotonic() - began) * _LONGEST_SHARE)
