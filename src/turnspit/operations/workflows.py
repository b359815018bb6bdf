"""What a person does with workflows: ``app.workflows``."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from turnspit.client import Stored, possible_id
from turnspit.clock import Duration, end_of, from_moment, monotonic
from turnspit.codec import decode
from turnspit.contract import Engine
from turnspit.contract.verbs import Verb, WakeKind
from turnspit.errors import ConfigurationError, MoveNotAllowed, ResultTimeout, WorkflowNotFound
from turnspit.job_waiting import about, set_at_wakes, set_at_wakes_in_loop, wait_at_most
from turnspit.jobs import JobFilter, Page
from turnspit.operations.pages import check_after, check_size, position_of
from turnspit.records import WorkflowJobRecord, WorkflowRecord
from turnspit.states import JobState

__all__ = ["Workflow", "WorkflowJob", "WorkflowState", "Workflows"]

WorkflowState = Literal["running", "completed", "failed", "cancelled"]

_PORTION = 1000
_LOOK_AGAIN = 0.5
_BY_A_PERSON = "cancelled by a person"


@dataclass(frozen=True, slots=True)
class WorkflowJob:
    """A job as its workflow sees it."""

    id: int
    name: str | None
    task: str | None
    """``None`` once the job is gone from history; so are ``queue`` and ``state``."""
    queue: str | None
    state: JobState | None
    on_failure: str
    waits_for: int
    """How many of its dependencies are not done."""
    attempt: int | None
    started_at: datetime | None
    finished_at: datetime | None
    progress: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Workflow:
    """A snapshot of a workflow. Its counts are those of all its jobs; ``jobs`` and ``edges`` may be a page of them."""

    id: int
    name: str
    state: WorkflowState
    """``running`` until all jobs are final; then ``completed`` if all completed, ``cancelled`` if the workflow was
    cancelled, else ``failed``.
    """
    created_at: datetime
    deadline: datetime | None
    finished_at: datetime | None
    reason: str | None
    """Why it was cancelled."""
    total: int
    unfinished: int
    completed: int
    cancelled: int
    dead: int
    idempotency_key: str | None = None
    jobs: tuple[WorkflowJob, ...] = ()
    edges: tuple[tuple[int, int], ...] = ()
    """Pairs of ids: a job, and a job that waits for it."""
    next: int | None = None
    """``get(id, after=workflow.next)`` has more jobs; ``None`` at the end."""

    @property
    def progress(self) -> float:
        """The share of its jobs that are final."""
        return 1.0 if not self.total else (self.total - self.unfinished) / self.total


class Workflows:
    """Look at workflows and change what happens to them."""

    def __init__(self, app: Stored) -> None:
        self._app = app

    def get(self, workflow: int, *, limit: int = 1000, after: int = 0) -> Workflow:
        """One workflow with its jobs, the oldest first, and the edges that lead to them.

        :param limit: how many jobs at most, up to 1,000.
        :param after: the ``next`` of the page before.
        :raises WorkflowNotFound: if there is no such workflow.
        :raises ConfigurationError: if ``limit`` or ``after`` is out of range.
        """
        engine = self._app.engine
        return _found(engine.read(_read, engine, _id(workflow), check_size(limit), check_after(after)), workflow, limit)

    async def aget(self, workflow: int, *, limit: int = 1000, after: int = 0) -> Workflow:
        """``get`` for async code."""
        engine = self._app.engine
        return _found(
            await engine.aread(_read, engine, _id(workflow), check_size(limit), check_after(after)), workflow, limit
        )

    def list(
        self, *, name: str | None = None, finished: bool | None = None, limit: int = 50, after: str | None = None
    ) -> Page[Workflow]:
        """The newest workflows that match, without their jobs, a page at a time.

        :param name: only workflows of this name.
        :param finished: ``True``: only those that have ended; ``False``: only those that have not.
        :param limit: how many at most, up to 1,000.
        :param after: the ``next`` of the page before.
        """
        engine = self._app.engine
        return _page(engine.read(engine.list_workflows, name, finished, check_size(limit), position_of(after)), limit)

    async def alist(
        self, *, name: str | None = None, finished: bool | None = None, limit: int = 50, after: str | None = None
    ) -> Page[Workflow]:
        """``list`` for async code."""
        engine = self._app.engine
        return _page(
            await engine.aread(engine.list_workflows, name, finished, check_size(limit), position_of(after)), limit
        )

    def cancel(self, workflow: int, *, reason: str = "") -> int:
        """Cancel its waiting jobs and request the end of running ones; how many. None of its jobs begins any more.

        :param reason: kept with each job.
        :raises WorkflowNotFound: if there is none.
        :raises MoveNotAllowed: if it has ended.
        """
        engine, total = self._app.engine, 0
        while done := engine.write(engine.cancel_workflow, _id(workflow), reason or _BY_A_PERSON, _PORTION):
            total += done
            if done < _PORTION:
                break
        if done is None and not total:
            _refuse_ended(self.get(workflow, limit=1))
        return total

    async def acancel(self, workflow: int, *, reason: str = "") -> int:
        """``cancel`` for async code."""
        engine, total = self._app.engine, 0
        while done := await engine.awrite(engine.cancel_workflow, _id(workflow), reason or _BY_A_PERSON, _PORTION):
            total += done
            if done < _PORTION:
                break
        if done is None and not total:
            _refuse_ended(await self.aget(workflow, limit=1))
        return total

    def replay(self, workflow: int, *, whole: bool = False) -> int:
        """Make its dead and cancelled jobs live again; how many. Those that completed stay as they are.

        :param whole: also the jobs that completed; only possible once the workflow has ended.
        :raises WorkflowNotFound: if there is none.
        :raises MoveNotAllowed: if there is nothing to replay, or if ``whole`` and it has not ended.
        """
        engine, total = self._app.engine, 0
        after: int | None = 0
        while after is not None:
            done, after = engine.write(_replay, engine, _id(workflow), after, whole=whole)
            total += done
        if not total:
            _refuse_replay(self.get(workflow, limit=1), whole=whole)
        return total

    async def areplay(self, workflow: int, *, whole: bool = False) -> int:
        """``replay`` for async code."""
        engine, total = self._app.engine, 0
        after: int | None = 0
        while after is not None:
            done, after = await engine.awrite(_replay, engine, _id(workflow), after, whole=whole)
            total += done
        if not total:
            _refuse_replay(await self.aget(workflow, limit=1), whole=whole)
        return total

    def wait_ended(self, workflow: int, timeout: Duration | None = None) -> Workflow:
        """The workflow once all its jobs are final. From any process.

        :param timeout: seconds or ``timedelta`` to wait; ``None`` waits without limit, ``0`` does not wait.
        :raises ResultTimeout: if it has not ended by then.
        :raises WorkflowNotFound: if there is no such workflow.

        ::

            flow = import_rows.map(rows)
            app.workflows.wait_ended(flow, timeout=60)
        """
        until = end_of(timeout)
        with set_at_wakes(self._app.engine, about(WakeKind.WORKFLOW, workflow)) as ended:
            while True:
                ended.clear()
                found = self.get(workflow, limit=1)
                if found.state != "running" and (whole := self.get(workflow)).state != "running":
                    return whole
                ended.wait(_time_to_wait(found, until))

    async def await_ended(self, workflow: int, timeout: Duration | None = None) -> Workflow:
        """``wait_ended`` for async code."""
        until = end_of(timeout)
        with set_at_wakes_in_loop(self._app.engine, about(WakeKind.WORKFLOW, workflow)) as ended:
            while True:
                ended.clear()
                found = await self.aget(workflow, limit=1)
                if found.state != "running" and (whole := await self.aget(workflow)).state != "running":
                    return whole
                await wait_at_most(ended, _time_to_wait(found, until))

    def get_results(self, workflow: int) -> dict[str, Any]:
        """What its completed jobs returned, by their names in the workflow. Find jobs without a name by ``app.jobs``.

        :raises WorkflowNotFound: if there is none.
        """
        engine = self._app.engine
        return self._load(engine.read(_read_results, engine, _id(workflow)), workflow)

    async def aget_results(self, workflow: int) -> dict[str, Any]:
        """``get_results`` for async code."""
        engine = self._app.engine
        return self._load(await engine.aread(_read_results, engine, _id(workflow)), workflow)

    def _load(self, rows: Sequence[tuple[str, str, str | None]] | None, workflow: int) -> dict[str, Any]:
        if rows is None:
            raise WorkflowNotFound.of(workflow)
        results = {}
        for name, task_name, text in rows:
            task = self._app.tasks.get(task_name)
            if text is not None:
                results[name] = decode(text) if task is None else task.signature.load_result(text)
        return results


def _replay(engine: Engine, workflow: int, after: int, *, whole: bool) -> Verb[tuple[int, int | None]]:
    """Replay a portion: how many jobs, and the id of the last one; ``None`` in its place when nothing is left.

    Jobs that were cancelled because of a dead job come back with it, in whichever portion they are. So they are all
    counted before the first portion. With ``whole``, the last portion also seals the workflow, in the same transaction:
    a workflow that stayed unsealed after a crash could not go on.
    """
    failed = 0
    for state in () if whole or after else (JobState.DEAD, JobState.CANCELLED):
        failed += yield from engine.count_jobs(JobFilter(workflow=workflow, state=state))
    done = yield from engine.replay_workflow(workflow, after, _PORTION, whole=whole)
    if not whole:
        return failed, done[-1] if len(done) == _PORTION else None
    if done:
        if (yield from engine.list_workflow_jobs(workflow, 1, done[-1])):
            return len(done), done[-1]
        yield from engine.replay_workflow(workflow, done[-1], _PORTION, whole=True)  # settles what was deleted
    if done or after:
        yield from engine.seal_workflow(workflow)
    return len(done), None


def _read_results(engine: Engine, workflow: int) -> Verb[Sequence[tuple[str, str, str | None]] | None]:
    rows = yield from engine.list_workflow_results(workflow)
    if not rows and (yield from engine.get_workflow(workflow)) is None:
        return None
    return rows


def _read(
    engine: Engine, workflow: int, limit: int, after: int
) -> Verb[tuple[WorkflowRecord, list[WorkflowJobRecord], list[tuple[int, int]]] | None]:
    record = yield from engine.get_workflow(workflow)
    if record is None:
        return None
    jobs = yield from engine.list_workflow_jobs(workflow, limit, after)
    return record, jobs, (yield from engine.list_workflow_edges([job.id for job in jobs]))


def _found(
    read: tuple[WorkflowRecord, list[WorkflowJobRecord], list[tuple[int, int]]] | None, workflow: int, limit: int
) -> Workflow:
    if read is None:
        raise WorkflowNotFound.of(workflow)
    record, jobs, edges = read
    following = jobs[-1].id if len(jobs) == limit < record.jobs else None
    return _workflow(record, tuple(map(_job, jobs)), tuple(edges), following)


def _workflow(
    record: WorkflowRecord,
    jobs: tuple[WorkflowJob, ...] = (),
    edges: tuple[tuple[int, int], ...] = (),
    following: int | None = None,
) -> Workflow:
    return Workflow(
        id=record.id,
        name=record.name,
        state=_state(record),
        created_at=from_moment(record.created_at),
        deadline=from_moment(record.deadline_at),
        finished_at=from_moment(record.finished_at),
        reason=record.reason,
        total=record.jobs,
        unfinished=record.unfinished,
        completed=record.completed,
        cancelled=record.cancelled,
        dead=record.dead,
        idempotency_key=record.idempotency_key,
        jobs=jobs,
        edges=edges,
        next=following,
    )


def _state(record: WorkflowRecord) -> WorkflowState:
    if record.finished_at is None:
        return "running"
    if record.completed == record.jobs:
        return "completed"
    return "failed" if record.cancelled_at is None else "cancelled"


def _job(record: WorkflowJobRecord) -> WorkflowJob:
    return WorkflowJob(
        id=record.id,
        name=record.name,
        task=record.task,
        queue=record.queue,
        state=record.state,
        on_failure=record.on_failure,
        waits_for=record.waits_for,
        attempt=record.attempt,
        started_at=from_moment(record.started_at),
        finished_at=from_moment(record.finished_at),
        progress=record.progress,
        reason=record.reason,
    )


def _page(records: Sequence[WorkflowRecord], limit: int) -> Page[Workflow]:
    after = str(records[-1].id) if len(records) == limit else None
    return Page([_workflow(record) for record in records], after)


def _refuse_ended(workflow: Workflow) -> None:
    raise MoveNotAllowed(f"workflow {workflow.id} ({workflow.name}) has ended: it is {workflow.state}")


def _refuse_replay(workflow: Workflow, *, whole: bool) -> None:
    why = "no job of it is dead or cancelled"
    if whole:
        why = "it has not ended" if workflow.state == "running" else "its jobs were deleted, or pruned with history"
    raise MoveNotAllowed(f"workflow {workflow.id} ({workflow.name}) cannot be replayed: {why}")


def _time_to_wait(workflow: Workflow, until: float | None) -> float:
    if until is None:
        return _LOOK_AGAIN
    left = until - monotonic()
    if left <= 0:
        raise ResultTimeout(
            f"workflow {workflow.id} ({workflow.name}) has not ended: {workflow.unfinished} of {workflow.total} jobs "
            "are not final"
        )
    return min(left, _LOOK_AGAIN)


def _id(workflow: int) -> int:
    if not isinstance(workflow, int):
        raise ConfigurationError(f"a workflow is named by its id, a whole number (flow.id), not {workflow!r}")
    return possible_id(workflow)
