"""What a person does with jobs: ``app.jobs``."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NoReturn, Unpack

from turnspit.client import Client, Stored, possible_id
from turnspit.clock import Duration, sleep, thread_sleep, to_duration, to_moment
from turnspit.codec import check_text
from turnspit.contract import Engine
from turnspit.contract.verbs import Verb
from turnspit.errors import ConfigurationError, MoveNotAllowed
from turnspit.jobs import Job, JobFilter, Page
from turnspit.operations.changes import CANCEL, DELETE, REPLAY, RUN_NOW, JobChange
from turnspit.operations.dead_groups import DeadGroup, to_dead_groups
from turnspit.operations.filters import FilterFields, check_id, make_filter
from turnspit.operations.pages import check_size, position_of
from turnspit.operations.portions import Portions
from turnspit.records import JobChanges, JobRecord
from turnspit.states import JobState
from turnspit.task_options import check_priority

__all__ = ["Jobs"]

DeadGroups = list[DeadGroup]  # inside Jobs, ``list`` is the method


class Jobs:
    """Look at jobs and change what happens to them.

    The verbs that take many jobs work through them in small transactions, so that workers go on meanwhile; after an
    error those before it are done. They refuse to run without a filter unless ``all=True`` says that all are meant.
    """

    def __init__(self, app: Stored, client: Client) -> None:
        self._app = app
        self._client = client

    def get(self, job_id: int) -> Job[Any]:
        """One job, live or final.

        :raises JobNotFound: if there is none.
        """
        return Job(self._client.get_record(check_id(job_id)), self._client)

    async def aget(self, job_id: int) -> Job[Any]:
        """``get`` for async code."""
        return Job(await self._client.aget_record(check_id(job_id)), self._client)

    def list(self, *, limit: int = 50, after: str | None = None, **fields: Unpack[FilterFields]) -> Page[Job[Any]]:
        """The newest jobs that match, a page at a time.

        :param limit: how many at most, up to 1,000.
        :param after: the ``next`` of the page before.

        ::

            page = app.jobs.list(state="dead", task="send_confirmation", args={"order_id": 7})
            page = app.jobs.list(state="dead", after=page.next)
        """
        engine = self._app.engine
        records = engine.read(engine.list_jobs, make_filter(fields), check_size(limit), position_of(after))
        return self._page(records, limit)

    async def alist(
        self, *, limit: int = 50, after: str | None = None, **fields: Unpack[FilterFields]
    ) -> Page[Job[Any]]:
        """``list`` for async code."""
        engine = self._app.engine
        records = await engine.aread(engine.list_jobs, make_filter(fields), check_size(limit), position_of(after))
        return self._page(records, limit)

    def count(self, **fields: Unpack[FilterFields]) -> int:
        """How many jobs match."""
        return self._app.engine.read(self._app.engine.count_jobs, make_filter(fields))

    async def acount(self, **fields: Unpack[FilterFields]) -> int:
        """``count`` for async code."""
        return await self._app.engine.aread(self._app.engine.count_jobs, make_filter(fields))

    def cancel(
        self,
        job_id: int | None = None,
        *,
        reason: str = "",
        tx: object | None = None,
        all: bool = False,
        **fields: Unpack[FilterFields],
    ) -> int:
        """Cancel waiting jobs and request the end of running ones; how many.

        A running async task is cancelled on its worker; a thread sees ``job.cancelled``. The request is kept with
        the job, so that it outlives a crash.

        :param tx: the caller's own transaction: the jobs are cancelled if and only if it commits. Their rows are locked
            until it ends.

        ::

            app.jobs.cancel(order.job_id, tx=session)

        :raises JobNotFound: if ``job_id`` is no job.
        :raises MoveNotAllowed: if that job is final.
        """
        filter_ = _chosen(CANCEL, job_id, fields, all_=all)
        total = self._repeat(CANCEL, filter_, reason=reason, tx=tx)
        if not total and job_id is not None:
            _explain_cancel(Job(self._client.get_record(job_id, tx), self._client))
        return total

    async def acancel(
        self,
        job_id: int | None = None,
        *,
        reason: str = "",
        tx: object | None = None,
        all: bool = False,
        **fields: Unpack[FilterFields],
    ) -> int:
        """``cancel`` for async code."""
        filter_ = _chosen(CANCEL, job_id, fields, all_=all)
        total = await self._arepeat(CANCEL, filter_, reason=reason, tx=tx)
        if not total and job_id is not None:
            _explain_cancel(Job(await self._client.aget_record(job_id, tx), self._client))
        return total

    def replay(
        self,
        job_id: int | None = None,
        *,
        rate: float | None = None,
        all: bool = False,
        **fields: Unpack[FilterFields],
    ) -> int:
        """Make final jobs live again, with their history; how many. Without ``job_id`` and ``state``: dead letters.

        A job whose unique key another job holds by now stays as it is, and is not counted.

        :param rate: at most so many jobs a second; the call lasts as long as that takes. If it is interrupted, the jobs
            that it has not reached are still dead letters, and the same call goes on with them.

        ::

            app.jobs.replay(task="call_partner", rate=50)

        :raises JobNotFound: if ``job_id`` is no job.
        :raises MoveNotAllowed: if that job is not final, or another one holds its unique key.
        """
        filter_ = _chosen(REPLAY, job_id, fields, all_=all)
        total = self._repeat(REPLAY, filter_, rate=rate)
        if not total and job_id is not None:
            _explain_replay(self.get(job_id))
        return total

    async def areplay(
        self,
        job_id: int | None = None,
        *,
        rate: float | None = None,
        all: bool = False,
        **fields: Unpack[FilterFields],
    ) -> int:
        """``replay`` for async code."""
        filter_ = _chosen(REPLAY, job_id, fields, all_=all)
        total = await self._arepeat(REPLAY, filter_, rate=rate)
        if not total and job_id is not None:
            _explain_replay(await self.aget(job_id))
        return total

    def delete(self, job_id: int | None = None, *, all: bool = False, **fields: Unpack[FilterFields]) -> int:
        """Remove jobs that are not running, for good; how many.

        :raises JobNotFound: if ``job_id`` is no job.
        :raises MoveNotAllowed: if that job is running.
        """
        filter_ = _chosen(DELETE, job_id, fields, all_=all)
        total = self._repeat(DELETE, filter_)
        if not total and job_id is not None:
            _refuse("deleted", self.get(job_id), "cancel it first")
        return total

    async def adelete(self, job_id: int | None = None, *, all: bool = False, **fields: Unpack[FilterFields]) -> int:
        """``delete`` for async code."""
        filter_ = _chosen(DELETE, job_id, fields, all_=all)
        total = await self._arepeat(DELETE, filter_)
        if not total and job_id is not None:
            _refuse("deleted", await self.aget(job_id), "cancel it first")
        return total

    def update(
        self,
        job_id: int,
        *,
        priority: int | None = None,
        queue: str | None = None,
        at: datetime | None = None,
        delay: Duration | None = None,
    ) -> Job[Any]:
        """Change a waiting job's priority, queue or time.

        :raises MoveNotAllowed: if the job is not waiting any more.
        """
        changes = _changes(priority, queue, at, delay)
        engine = self._app.engine
        record = engine.write(_update, engine, possible_id(check_id(job_id)), changes)
        if record is None:
            _refuse("updated", self.get(job_id), "only a waiting job can be")
        return Job(record, self._client)

    async def aupdate(
        self,
        job_id: int,
        *,
        priority: int | None = None,
        queue: str | None = None,
        at: datetime | None = None,
        delay: Duration | None = None,
    ) -> Job[Any]:
        """``update`` for async code."""
        changes = _changes(priority, queue, at, delay)
        engine = self._app.engine
        record = await engine.awrite(_update, engine, possible_id(check_id(job_id)), changes)
        if record is None:
            _refuse("updated", await self.aget(job_id), "only a waiting job can be")
        return Job(record, self._client)

    def run_now(
        self,
        job_id: int | None = None,
        *,
        rate: float | None = None,
        all: bool = False,
        **fields: Unpack[FilterFields],
    ) -> int:
        """Make waiting jobs ready, whatever their time; how many. Without ``job_id`` and ``state``: scheduled ones.

        Also those that wait for their next attempt, for example after an outage of what they call; attempts made so far
        still count.

        :param rate: at most so many jobs a second, as in ``replay``.
        :raises JobNotFound: if ``job_id`` is no job.
        :raises MoveNotAllowed: if that job is not waiting any more.

        ::

            app.jobs.run_now(task="call_partner")  # its API works again
        """
        filter_ = _chosen(RUN_NOW, job_id, fields, all_=all)
        total = self._repeat(RUN_NOW, filter_, rate=rate)
        if not total and job_id is not None:
            _refuse("run now", self.get(job_id), "only a waiting job can be")
        return total

    async def arun_now(
        self,
        job_id: int | None = None,
        *,
        rate: float | None = None,
        all: bool = False,
        **fields: Unpack[FilterFields],
    ) -> int:
        """``run_now`` for async code."""
        filter_ = _chosen(RUN_NOW, job_id, fields, all_=all)
        total = await self._arepeat(RUN_NOW, filter_, rate=rate)
        if not total and job_id is not None:
            _refuse("run now", await self.aget(job_id), "only a waiting job can be")
        return total

    def dead_groups(self, *, task: str | None = None) -> DeadGroups:
        """Dead letters grouped by what went wrong (task, error type and normalised message), largest first."""
        return to_dead_groups(self._app.engine.read(self._app.engine.group_dead_letters, task))

    async def adead_groups(self, *, task: str | None = None) -> DeadGroups:
        """``dead_groups`` for async code."""
        return to_dead_groups(await self._app.engine.aread(self._app.engine.group_dead_letters, task))

    def _repeat(
        self,
        change: JobChange,
        filter_: JobFilter,
        *,
        rate: float | None = None,
        reason: str = "",
        tx: object | None = None,
    ) -> int:
        """Change all jobs of a filter portion by portion; how many."""
        engine = self._app.engine
        portions = Portions(engine, change, filter_, rate=rate, reason=reason)
        inside: Callable[..., Any] = engine.write_in
        write: Callable[..., Any] = engine.write if tx is None else partial(inside, tx)
        while portions.take(write(*portions.next())):
            thread_sleep(portions.rest())
        return portions.changed

    async def _arepeat(
        self,
        change: JobChange,
        filter_: JobFilter,
        *,
        rate: float | None = None,
        reason: str = "",
        tx: object | None = None,
    ) -> int:
        engine = self._app.engine
        portions = Portions(engine, change, filter_, rate=rate, reason=reason)
        inside: Callable[..., Any] = engine.awrite_in
        write: Callable[..., Any] = engine.awrite if tx is None else partial(inside, tx)
        while portions.take(await write(*portions.next())):
            await sleep(portions.rest())
        return portions.changed

    def _page(self, records: Sequence[Any], limit: int) -> Page[Job[Any]]:
        after = str(records[-1].id) if len(records) == limit else None
        return Page([Job(record, self._client) for record in records], after)


def _update(engine: Engine, job_id: int, changes: JobChanges) -> Verb[JobRecord | None]:
    """Change a job and read it, in one transaction: after an error nothing is changed."""
    state = yield from engine.update_job(job_id, changes)
    return None if state is None else (yield from engine.get_job(job_id))


def _chosen(change: JobChange, job_id: int | None, fields: Mapping[str, Any], *, all_: bool) -> JobFilter:
    """The filter of the jobs that a change is about.

    :raises ConfigurationError: if that would be every job, and ``all_`` does not say so.
    """
    filter_ = make_filter(fields, job_id)
    if filter_.is_empty and not all_:
        name = change.verb.replace(" ", "_")
        raise ConfigurationError(
            f"app.jobs.{name}() without a job or a filter means every job: say all=True if it does"
        )
    if filter_.id is None and filter_.state is None and change.default_state is not None:
        return make_filter({**fields, "state": change.default_state})
    return filter_


def _changes(priority: int | None, queue: str | None, at: datetime | None, delay: Duration | None) -> JobChanges:
    if at is not None and delay is not None:
        raise ConfigurationError("update() takes delay= or at=, not both")
    changes = JobChanges(
        priority=None if priority is None else check_priority(priority),
        queue=None if queue is None else check_text(queue, "a queue's name"),
        at=None if at is None else to_moment(at),
        delay=None if delay is None else to_duration(delay, "delay"),
    )
    if changes == JobChanges():
        raise ConfigurationError("update() needs something to change: priority=, queue=, at= or delay=")
    return changes


def _refuse(verb: str, job: Job[Any], hint: str) -> NoReturn:
    raise MoveNotAllowed(f"job {job.id} ({job.task}) is {job.state} and cannot be {verb}: {hint}")


def _explain_cancel(job: Job[Any]) -> None:
    """Say why nothing was cancelled. For a running job that is no error: its end was requested before."""
    if job.state is not JobState.RUNNING:
        _refuse("cancelled", job, "it has ended")


def _explain_replay(job: Job[Any]) -> NoReturn:
    if job.state.is_final:
        _refuse("replayed", job, "another job holds its unique key; replay it when that one has ended")
    _refuse("replayed", job, "only a completed, cancelled or dead job can be")
