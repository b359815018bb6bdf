"""Storing jobs and waiting for them, from sync and async code, inside the caller's transaction when given one."""

import asyncio
import sys
import warnings
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from turnspit.backlog import Backlogs
from turnspit.blueprints import TaskRegistry
from turnspit.chunks import achunks, chunks
from turnspit.clock import give_way, sleep
from turnspit.codec import decode
from turnspit.contract import Engine
from turnspit.contract.verbs import Verb, WakeKind
from turnspit.errors import ConfigurationError, JobNotFound
from turnspit.job_waiting import Patience, about, is_in_loop, set_at_wakes, set_at_wakes_in_loop, wait_at_most
from turnspit.jobs import Job
from turnspit.limits import Limit
from turnspit.queues import Queue
from turnspit.records import LARGEST_ID, Inserted, JobRecord, LogLine, NewJob, NewWorkflow
from turnspit.sending import Sender, Sendings
from turnspit.workflow_store import WorkflowWriter
from turnspit.workflows import WorkflowBuilder

__all__ = ["Client", "Stored", "possible_id"]

R = TypeVar("R")

Progress = Callable[[int], None]


class Stored(Protocol):
    """What a client needs of its app: an engine that may be replaced, and the tasks."""

    max_payload: int
    tasks: TaskRegistry
    queue_limits: Mapping[str, Sequence[tuple[str, Limit]]]
    senders: list[Sender]
    bounded_queues: Mapping[str, Queue]
    deadline: float

    @property
    def engine(self) -> Engine: ...

    def in_transaction(self) -> bool: ...


class Client:
    """Implements ``enqueuer.Enqueuer`` and ``jobs.JobStore`` over an engine."""

    def __init__(self, app: Stored) -> None:
        self._app = app
        self._backlogs = Backlogs(app)
        self._warned = False

    @property
    def max_payload(self) -> int:
        """Bytes of JSON that one job's arguments may take."""
        return self._app.max_payload

    def store_map(self, jobs: Iterable[NewJob[Any]], name: str, tx: object | None) -> int:
        """Store jobs as a workflow of its own; its id."""
        with WorkflowBuilder(self.workflow_writer, NewWorkflow(name), tx=tx) as flow:
            flow.add_many(jobs)
        return flow.id

    async def astore_map(
        self, jobs: Iterable[NewJob[Any]] | AsyncIterable[NewJob[Any]], name: str, tx: object | None
    ) -> int:
        """``store_map`` for async code."""
        async with WorkflowBuilder(self.workflow_writer, NewWorkflow(name), tx=tx) as flow:
            await flow.aadd_many(jobs)
        return flow.id

    @property
    def workflow_writer(self) -> WorkflowWriter:
        """Where the jobs of new workflows go."""
        app = self._app
        return WorkflowWriter(lambda: app.engine, app.tasks, app.max_payload, app.senders, self._backlogs)

    def limits_of(self, queue: str) -> Sequence[tuple[str, Limit]]:
        """The limits of a queue, with their owner's name."""
        return self._app.queue_limits.get(queue, ())

    def enqueue(self, new: NewJob[R], tx: object | None = None) -> Job[R]:
        """Store one job."""
        self._warn_in_loop()
        if not self._app.senders:
            return self._store(new, tx)
        with Sendings(self._app.senders) as sent:
            [new] = sent.begin([new])
            job = self._store(new, tx)
            sent.stored([job.id])
            return job

    def _store(self, new: NewJob[R], tx: object | None) -> Job[R]:
        if new.queue not in self._app.bounded_queues:
            return self._insert(new, tx)
        if new.unique_rule is not None and (found := self._find(new, tx)) is not None:
            return Job(found, self)
        with self._backlogs.room([new], tx):
            return self._insert(new, tx)

    def _find(self, new: NewJob[Any], tx: object | None) -> JobRecord | None:
        engine = self._app.engine
        if tx is None:
            return engine.write(_find, engine, new)
        return engine.write_in(tx, _find, engine, new)

    def _insert(self, new: NewJob[R], tx: object | None) -> Job[R]:
        engine = self._app.engine
        if new.unique_rule is None:
            if tx is None:
                return self._job(new, engine.write(engine.insert_job, new), None)
            return self._job(new, engine.write_in(tx, engine.insert_job, new), None)
        if tx is not None:
            return self._job(new, *engine.write_in(tx, _insert_or_find, engine, new))
        if engine.has_round_trips and (inserted := engine.write(engine.insert_job_at_once, new)) is not None:
            return self._job(new, inserted, None)
        return self._job(new, *engine.write(_insert_or_find, engine, new))

    async def aenqueue(self, new: NewJob[R], tx: object | None = None) -> Job[R]:
        """``enqueue`` for async code."""
        if not self._app.senders:
            return await self._astore(new, tx)
        with Sendings(self._app.senders) as sent:
            [new] = sent.begin([new])
            job = await self._astore(new, tx)
            sent.stored([job.id])
            return job

    async def _astore(self, new: NewJob[R], tx: object | None) -> Job[R]:
        if new.queue not in self._app.bounded_queues:
            return await self._ainsert(new, tx)
        if new.unique_rule is not None and (found := await self._afind(new, tx)) is not None:
            return Job(found, self)
        async with self._backlogs.aroom([new], tx):
            return await self._ainsert(new, tx)

    async def _afind(self, new: NewJob[Any], tx: object | None) -> JobRecord | None:
        engine = self._app.engine
        if tx is None:
            return await engine.awrite(_find, engine, new)
        return await engine.awrite_in(tx, _find, engine, new)

    async def _ainsert(self, new: NewJob[R], tx: object | None) -> Job[R]:
        engine = self._app.engine
        if new.unique_rule is None:
            if tx is None:
                return self._job(new, await engine.awrite(engine.insert_job, new), None)
            return self._job(new, await engine.awrite_in(tx, engine.insert_job, new), None)
        if tx is not None:
            return self._job(new, *(await engine.awrite_in(tx, _insert_or_find, engine, new)))
        if engine.has_round_trips and (inserted := await engine.awrite(engine.insert_job_at_once, new)) is not None:
            return self._job(new, inserted, None)
        return self._job(new, *(await engine.awrite(_insert_or_find, engine, new)))

    def enqueue_many(
        self, jobs: Iterable[NewJob[Any]], *, tx: object | None, chunk: int, progress: Progress | None
    ) -> list[int]:
        """Store jobs in chunks, one transaction each; their ids."""
        self._warn_in_loop()
        stored = _StoredIds(progress)
        with Sendings(self._app.senders) as sent:
            if tx is not None:
                for part in chunks(jobs, chunk):
                    stored.add(self._insert_part(sent.begin(_checked(part)), tx), sent)
                return stored.ids
            wait: Callable[[], list[int]] | None = None
            try:
                for part in chunks(jobs, chunk):  # the next one is made while the store works on the one before
                    before, wait = wait, None
                    if before is not None:
                        stored.add(before(), sent)
                    wait = self._insert_later(sent.begin(_checked(part)))
                    if len(part) == chunk:
                        give_way()
            finally:
                if wait is not None:
                    stored.add(wait(), sent)
        return stored.ids

    def _insert_part(self, part: Sequence[NewJob[Any]], tx: object) -> list[int]:
        with self._backlogs.room(part, tx):
            return self._app.engine.write_in(tx, self._app.engine.insert_jobs, part)

    def _insert_later(self, part: Sequence[NewJob[Any]]) -> Callable[[], list[int]]:
        engine, reserved = self._app.engine, self._backlogs.reserve(part, tx=None)
        try:
            wait = engine.write_later(engine.insert_jobs, part)
        except BaseException:
            self._backlogs.release(reserved)
            raise

        def wait_and_release() -> list[int]:
            try:
                return wait()
            finally:
                self._backlogs.release(reserved)

        return wait_and_release

    async def aenqueue_many(
        self,
        jobs: Iterable[NewJob[Any]] | AsyncIterable[NewJob[Any]],
        *,
        tx: object | None,
        chunk: int,
        progress: Progress | None,
    ) -> list[int]:
        """``enqueue_many`` for async code; also takes an async iterable."""
        stored = _StoredIds(progress)
        with Sendings(self._app.senders) as sent:
            if tx is not None:
                async for part in achunks(jobs, chunk):
                    stored.add(await self._ainsert_part(sent.begin(_checked(part)), tx), sent)
                return stored.ids
            storing: asyncio.Task[list[int]] | None = None
            try:
                async for part in achunks(jobs, chunk):
                    before, storing = storing, None
                    if before is not None:
                        stored.add(await before, sent)
                    storing = asyncio.create_task(self._ainsert_part(sent.begin(_checked(part)), None))
                    await sleep(0)  # it is handed over now; the next part is made while the store works on it
                    if len(part) == chunk:
                        give_way()
            finally:
                if storing is not None:
                    stored.add(await storing, sent)
        return stored.ids

    async def _ainsert_part(self, part: Sequence[NewJob[Any]], tx: object | None) -> list[int]:
        engine = self._app.engine
        async with self._backlogs.aroom(part, tx):
            if tx is not None:
                return await engine.awrite_in(tx, engine.insert_jobs, part)
            return await engine.awrite(engine.insert_jobs, part)

    def get_record(self, job_id: int, tx: object | None = None) -> JobRecord:
        """The stored job, as the caller's transaction sees it where one is given.

        :raises JobNotFound: if there is none.
        """
        engine = self._app.engine
        if tx is not None:
            return _found(engine.write_in(tx, engine.get_job, possible_id(job_id)), job_id)
        return _found(engine.read(engine.get_job, possible_id(job_id)), job_id)

    async def aget_record(self, job_id: int, tx: object | None = None) -> JobRecord:
        """``get_record`` for async code."""
        engine = self._app.engine
        if tx is not None:
            return _found(await engine.awrite_in(tx, engine.get_job, possible_id(job_id)), job_id)
        return _found(await engine.aread(engine.get_job, possible_id(job_id)), job_id)

    def get_logs(self, job_id: int) -> list[LogLine]:
        """The job's log lines."""
        return self._app.engine.read(self._app.engine.list_logs, job_id)

    async def aget_logs(self, job_id: int) -> list[LogLine]:
        """``get_logs`` for async code."""
        return await self._app.engine.aread(self._app.engine.list_logs, job_id)

    def wait_final(self, job_id: int, timeout: float | None) -> JobRecord:
        """The job once it has ended.

        :raises ResultTimeout: if it has not ended after ``timeout`` seconds.
        """
        self._warn_in_loop()
        patience = Patience(timeout, blocks_loop=is_in_loop())
        record = self.get_record(job_id)
        if record.state.is_final:
            return record
        with set_at_wakes(self._app.engine, about(WakeKind.FINISHED, job_id)) as finished:
            while True:
                finished.clear()
                record = self.get_record(job_id)
                if record.state.is_final:
                    return record
                finished.wait(patience.until_next_look(record))

    async def await_final(self, job_id: int, timeout: float | None) -> JobRecord:
        """``wait_final`` for async code."""
        patience = Patience(timeout)
        record = await self.aget_record(job_id)
        if record.state.is_final:
            return record
        with set_at_wakes_in_loop(self._app.engine, about(WakeKind.FINISHED, job_id)) as finished:
            while True:
                finished.clear()
                record = await self.aget_record(job_id)
                if record.state.is_final:
                    return record
                await wait_at_most(finished, patience.until_next_look(record))

    def load_result(self, record: JobRecord) -> Any:
        """The stored result as what the task returns; as JSON values where the task is unknown here."""
        task = self._app.tasks.get(record.task)
        text = record.result or "null"
        return decode(text) if task is None else task.signature.load_result(text)

    def _job(self, new: NewJob[R], inserted: Inserted, found: JobRecord | None) -> Job[R]:
        if found is not None:
            return Job(found, self)
        record = JobRecord(
            id=inserted.id,
            task=new.task,
            queue=new.queue,
            state=inserted.state,
            args=new.args,
            priority=new.priority,
            created_at=inserted.created_at,
            run_at=inserted.run_at,
            retry=new.retry,
            timeout=new.timeout,
            tags=new.tags,
            metadata=new.metadata,
            unique_key=new.unique_key,
            expires_at=inserted.created_at + new.expires_in if new.expires_in is not None else new.expires_at,
        )
        return Job(record, self, created=True)

    def _warn_in_loop(self) -> None:
        if self._warned or not is_in_loop():
            return
        self._warned = True
        warnings.warn(
            "a sync verb was called inside a running event loop, which waits for the store meanwhile: "
            "use the verb with an a in front, as in await task.aenqueue(...)",
            RuntimeWarning,
            stacklevel=_outside(),
        )


def _checked(part: list[NewJob[Any]]) -> list[NewJob[Any]]:
    for job in part:
        if not isinstance(job, NewJob):
            raise ConfigurationError(f"enqueue_many takes what task.new(...) returns, not {job!r}")
        if job.results:
            raise ConfigurationError(f"a job of {job.task} takes the result of another one: add it to that workflow")
    return part


class _StoredIds:
    """The ids of what is stored so far."""

    def __init__(self, progress: Progress | None) -> None:
        self.ids: list[int] = []
        self._progress = progress

    def add(self, ids: list[int], sent: Sendings) -> None:
        """One more chunk."""
        sent.stored(ids)
        self.ids.extend(ids)
        if self._progress is not None:
            self._progress(len(self.ids))


def _insert_or_find(engine: Engine, new: NewJob[Any]) -> Verb[tuple[Inserted, JobRecord | None]]:
    """Store a job. If another one holds its unique key: that job, as the same transaction sees it."""
    inserted = yield from engine.insert_job(new)
    return inserted, None if inserted.created else (yield from engine.get_job(inserted.id))


def _find(engine: Engine, new: NewJob[Any]) -> Verb[JobRecord | None]:
    """The job that holds a new one's unique key, if any: then nothing is stored, and a full queue needs no room."""
    holder = yield from engine.find_holder(new)
    return None if holder is None else (yield from engine.get_job(holder.id))


def _outside() -> int:
    """The ``stacklevel`` of the first caller that is not Turnspit itself, seen from the function that warns."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "turnspit":
        level, frame = level + 1, frame.f_back
    return level


def _found(record: JobRecord | None, job_id: int) -> JobRecord:
    if record is None:
        raise JobNotFound.of(job_id)
    return record


def possible_id(job_id: int) -> int:
    """The id, or 0, which no job has, if it cannot be an id: a store would fail to look for such a number."""
    return job_id if isinstance(job_id, int) and 0 < job_id <= LARGEST_ID else 0
