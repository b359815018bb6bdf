"""Jobs and dead letters, read for screens and API."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic_core import from_json

from turnspit.client import possible_id
from turnspit.clock import from_moment
from turnspit.codec import stored_value
from turnspit.errors import JobNotFound
from turnspit.jobs import JobFilter
from turnspit.operations import WorkflowJob
from turnspit.records import AttemptRecord, DeadGroupRecord, JobRecord, LogLine
from turnspit.states import JobState
from turnspit.web.models import (
    AttemptDocument,
    Count,
    DeadGroupDocument,
    DeadGroups,
    JobDetails,
    JobDocument,
    JobsPage,
    LogDocument,
    WrittenJobsPage,
)
from turnspit.web.models.writing import write_json
from turnspit.web.redaction import Redaction, Texts
from turnspit.web.served import Served

__all__ = ["CARRIED", "DEPTH", "MOST", "JobReader"]

DEPTH = 20_000
"""How many of the newest live jobs, and of the newest final ones, a search looks through if no index answers it."""

MOST = 10_000
"""Jobs are counted up to this number."""

PREVIEW = 20_000
"""Characters of arguments and metadata that are read for a list: fifty jobs with a megabyte each took seconds."""

CARRIED = 8_000_000
"""Characters of arguments and metadata that a page of the API carries, unless its only job has more."""

_LOG_LINES = 500
_SECOND = 1_000_000


class JobReader:
    """Reads jobs as documents, redacted."""

    def __init__(self, app: Served, redaction: Redaction) -> None:
        self._app = app
        self._redaction = redaction

    async def search(self, filter_: JobFilter, limit: int, before: int | None) -> JobsPage:
        """The newest jobs that match, among those that were looked through, with the beginning of long arguments."""
        engine = self._app.engine
        found = await engine.aread(engine.search_jobs, filter_, limit, before, DEPTH, PREVIEW)
        jobs = await self._documents(found.records, PREVIEW)
        return JobsPage(
            jobs=jobs, next=None if found.before is None else str(found.before), is_partial=found.is_partial
        )

    async def search_whole(self, filter_: JobFilter, limit: int, before: int | None) -> WrittenJobsPage:
        """``search`` with whole arguments and metadata. A page ends early where it would carry too much of them."""
        engine = self._app.engine
        found = await engine.aread(engine.search_jobs, filter_, limit, before, DEPTH, PREVIEW)
        records, size, following = list[JobRecord](), 0, found.before
        for record in found.records:
            whole = await self._whole(record)
            if whole is None:
                continue
            size += len(whole.args) + len(whole.metadata or "")
            if records and size > CARRIED:
                following = records[-1].id
                break
            records.append(whole)
        jobs = await asyncio.to_thread(lambda: [write_json(self._document(each, None)) for each in records])
        return WrittenJobsPage(
            jobs=jobs, next=None if following is None else str(following), is_partial=found.is_partial
        )

    async def _whole(self, record: JobRecord) -> JobRecord | None:
        """A job with all of its arguments and metadata; ``None`` if it was deleted meanwhile."""
        if not _is_cut(record.args, record.metadata):
            return record
        engine = self._app.engine
        whole = await engine.aread(engine.get_job, record.id)
        return None if whole is None else replace(record, args=whole.args, metadata=whole.metadata)

    async def count(self, filter_: JobFilter) -> Count:
        """How many jobs match, up to ten thousand."""
        engine = self._app.engine
        found = await engine.aread(engine.count_matches, filter_, MOST, DEPTH)
        return Count(count=found.count, at_least=not found.is_complete)

    async def running(self, limit: int) -> list[JobDocument]:
        """The newest running jobs."""
        engine = self._app.engine
        found = await engine.aread(engine.search_jobs, JobFilter(state=JobState.RUNNING), limit, None, DEPTH, PREVIEW)
        return await self._documents(found.records, PREVIEW)

    async def reasons(self, jobs: Sequence[WorkflowJob], workflow: int) -> dict[int, str | None]:
        """The reasons of a workflow's jobs (a page of them), by job id; jobs without a reason are left out."""
        ids = {job.id for job in jobs if job.reason}
        if not ids:
            return {}
        engine = self._app.engine
        filter_, before = JobFilter(workflow=workflow), max(job.id for job in jobs) + 1
        found = await engine.aread(engine.search_jobs, filter_, len(jobs), before, DEPTH, PREVIEW)
        shown = await self._documents([record for record in found.records if record.id in ids], PREVIEW)
        return {job.id: job.reason for job in shown}

    async def record(self, job_id: int) -> JobRecord:
        """A job as it is stored.

        :raises JobNotFound: if there is none.
        """
        engine = self._app.engine
        record = await engine.aread(engine.get_job, possible_id(job_id))
        if record is None:
            raise JobNotFound.of(job_id)
        return record

    async def details(self, job_id: int) -> JobDetails:
        """A job in full.

        :raises JobNotFound: if there is none.
        """
        engine = self._app.engine
        record = await self.record(job_id)
        logs = await engine.aread(engine.list_logs, job_id)
        return await asyncio.to_thread(self._details, record, logs)

    def _details(self, record: JobRecord, logs: Sequence[LogLine]) -> JobDetails:
        texts = self._texts(record.task, record.args, record.metadata, record.result)
        return JobDetails(
            **self._fields(record, texts),
            has_result=record.result is not None,
            result=None if record.result is None else self._shown(record.task, record.result),
            retry=record.retry,
            attempts=[_attempt(attempt, texts) for attempt in record.attempts],
            logs=[_log(line, texts) for line in logs[-_LOG_LINES:]],
            is_known=record.task in self._app.tasks,
        )

    async def dead_groups(self, most: int | None = None) -> DeadGroups:
        """The newest ten thousand dead letters by what went wrong.

        :param most: only so many of the groups, the newest. To look for hidden values in the arguments of ten thousand
            took seconds.
        """
        engine = self._app.engine
        recent = await engine.aread(engine.group_recent_dead, MOST, PREVIEW)
        at_least = not recent.is_complete
        groups = await asyncio.to_thread(
            lambda: [self._group(group, at_least=at_least) for group in recent.groups[:most]]
        )
        count = Count(count=sum(group.count for group in recent.groups), at_least=at_least)
        return DeadGroups(groups=groups, count=count, all_groups=len(recent.groups))

    def _group(self, group: DeadGroupRecord, *, at_least: bool) -> DeadGroupDocument:
        is_cut = _is_cut(group.args, group.metadata)
        texts = self._texts(group.task, group.args, group.metadata, is_cut=is_cut)
        return DeadGroupDocument(
            fingerprint=group.fingerprint,
            task=group.task,
            error_type=group.error_type,
            message=texts(group.message),
            count=Count(count=group.count, at_least=at_least),
            newest_id=group.newest_id,
            first_at=from_moment(group.first_at),
            last_at=from_moment(group.last_at),
        )

    def _texts(self, task: str, *stored: str | None, is_cut: bool = False) -> Texts:
        values = () if is_cut else (stored_value(text) for text in stored if text)
        return self._redaction.texts(task, *values, is_cut=is_cut)

    async def shown_text(self, job_id: int, text: str) -> str:
        """A text about a job, without the job's hidden values."""
        record = await self.record(job_id)
        return self._texts(record.task, record.args, record.metadata)(text)

    async def _documents(self, records: Sequence[JobRecord], preview: int | None) -> list[JobDocument]:
        """Jobs as a list shows them; made in a thread, so that long arguments do not hold up the event loop."""
        return await asyncio.to_thread(lambda: [self._document(record, preview) for record in records])

    def _document(self, record: JobRecord, preview: int | None) -> JobDocument:
        is_cut = preview is not None and _is_cut(record.args, record.metadata)
        texts = self._texts(record.task, record.args, record.metadata, is_cut=is_cut)
        return JobDocument(**self._fields(record, texts, is_cut=is_cut))

    def _fields(self, record: JobRecord, texts: Texts, *, is_cut: bool = False) -> dict[str, Any]:
        return {
            "id": record.id,
            "task": record.task,
            "queue": record.queue,
            "state": record.state,
            "is_retrying": record.state is JobState.SCHEDULED and record.attempt > 0,
            "priority": record.priority,
            "args": self._shown(record.task, record.args, is_cut=is_cut),
            "is_cut": is_cut,
            "attempt": record.attempt,
            "crashes": record.crashes,
            "created_at": from_moment(record.created_at),
            "run_at": from_moment(record.run_at),
            "started_at": from_moment(record.started_at),
            "finished_at": from_moment(record.finished_at),
            "worker": record.worker,
            "timeout": None if record.timeout is None else record.timeout / _SECOND,
            "tags": _list(record.tags),
            "metadata": self._shown(record.task, record.metadata or "{}", is_cut=is_cut),
            "progress": record.progress,
            "progress_message": texts(record.progress_message),
            "cancel_requested": record.cancel_requested_at is not None,
            "reason": texts(record.reason),
            "error_type": record.error_type,
            "fingerprint": record.fingerprint,
            "unique_key": texts.key(record.unique_key),
            "workflow": record.workflow,
        }

    def _shown(self, task: str, text: str, *, is_cut: bool = False) -> Any:
        return self._redaction.of(task, _beginning(text) if is_cut else stored_value(text))


def _beginning(text: str) -> Any:
    """The value of JSON text that may be cut."""
    try:
        return from_json(text, allow_partial="trailing-strings")
    except ValueError:
        return text


def _is_cut(*texts: str | None) -> bool:
    """Whether the store may have cut one of these."""
    return any(text is not None and len(text) >= PREVIEW for text in texts)


def _list(text: str | None) -> list[Any]:
    value = stored_value(text or "[]")
    return value if isinstance(value, list) else [value]


def _attempt(record: AttemptRecord, texts: Texts) -> AttemptDocument:
    is_over = record.started_at is not None and record.finished_at is not None
    return AttemptDocument(
        number=record.number,
        outcome=record.outcome,
        started_at=from_moment(record.started_at),
        finished_at=from_moment(record.finished_at),
        seconds=((record.finished_at or 0) - (record.started_at or 0)) / _SECOND if is_over else None,
        worker=record.worker,
        error_type=record.error_type,
        error_message=texts(record.error_message),
        traceback=texts(record.traceback),
    )


def _log(line: LogLine, texts: Texts) -> LogDocument:
    return LogDocument(attempt=line.attempt, at=from_moment(line.at), level=line.level, message=texts(line.message))
