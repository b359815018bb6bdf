"""The store as a whole: overview, queues, workers, schedules, metrics. Everybody who looks shares the same answers."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from datetime import datetime

from turnspit.clock import from_moment, to_moment, utc_now
from turnspit.codec import stored_value
from turnspit.errors import ConfigurationError, EngineUnavailable
from turnspit.records import (
    CounterRecord,
    QueueCounts,
    RunSample,
    ScheduleRecord,
    StandingWorkflow,
    StoreCounts,
    StoreLock,
    WorkerRecord,
)
from turnspit.schedules import Rule, load_rule
from turnspit.web.answer_cache import AnswerCache
from turnspit.web.models import (
    Count,
    DeadGroups,
    Latency,
    Metrics,
    Overview,
    PauseDocument,
    QueueDocument,
    ScheduleDocument,
    TaskFigures,
    WorkerDocument,
)
from turnspit.web.reading.attention import Scene, find_attention
from turnspit.web.reading.figures import Tally, by_name, by_slot, empty_tally, histogram, latency, tally
from turnspit.web.reading.jobs import MOST, JobReader
from turnspit.web.redaction import Redaction
from turnspit.web.served import Served

__all__ = ["SPANS", "StoreReader"]

SPANS = {60: 1, 360: 5, 1440: 20}
"""How many minutes back one can look, each with the minutes of a slot."""

_MINUTE = 60_000_000
_SECOND = 1_000_000
_NOW, _SOON, _RARELY = 1.0, 5.0, 20.0  # seconds that an answer is kept
_SAMPLE = 50
_UPCOMING = 5
_RUNNING = 500
_STANDING = 100
_LARGE = 10_000
_MOST_DEAD_GROUPS = 200
"""Unfinished jobs of a workflow of which the overview does not say that it stands still: each would be looked at."""


class StoreReader:
    """Reads what screens show of the whole store."""

    def __init__(self, app: Served, redaction: Redaction, jobs: JobReader) -> None:
        self._app = app
        self._redaction = redaction
        self._jobs = jobs
        self.cache = AnswerCache()

    def now(self) -> int:
        """The moment that screens count from, for display only: this machine's clock, or the store's in tests."""
        return self._app.engine.clock.now() or to_moment(utc_now())

    async def overview(self) -> Overview:
        """All that matters, on one page."""
        return await self.cache.get("overview", _NOW, self._overview)

    async def queues(self) -> list[QueueDocument]:
        """Every queue that has jobs, or had some within the last hour."""
        return await self.cache.get("queues", _NOW, self._queues)

    async def workers(self) -> list[WorkerDocument]:
        """Live workers, and those that ended within the last hour; with what they run."""
        return await self.cache.get("workers", _NOW, self._workers)

    async def schedules(self) -> list[ScheduleDocument]:
        """Every schedule of every app on this store."""
        return await self.cache.get("schedules", _NOW, self._schedules)

    async def next_schedules(self, most: int) -> tuple[list[ScheduleDocument], int]:
        """Those whose next tick comes first, and how many there are."""
        records = await self._schedule_records()
        ordered = sorted(records, key=lambda each: (each.next_tick is None, each.next_tick or 0, each.name))
        return [self._schedule(record) for record in ordered[:most]], len(records)

    async def pauses(self) -> list[PauseDocument]:
        """What is paused."""
        return await self.cache.get("pauses", _NOW, self._pauses)

    async def task_names(self) -> set[str]:
        """Tasks whose attempts ended within the last hour."""
        return {record.task for record in await self._counters(60)}

    async def dead_groups(self) -> DeadGroups:
        """Dead letters by what went wrong."""
        return await self.cache.get("dead", _NOW, self._jobs.dead_groups)

    async def newest_dead_groups(self) -> DeadGroups:
        """``dead_groups``, with as many of them as a screen shows."""
        return await self.cache.get("newest dead", _NOW, lambda: self._jobs.dead_groups(_MOST_DEAD_GROUPS))

    async def metrics(self, span: int = 60, queue: str | None = None) -> Metrics:
        """Throughput, latency and errors of the last ``span`` minutes, of all queues or one."""
        return await self.cache.get(("metrics", span, queue), _SOON, lambda: self._metrics(span, queue))

    async def _counts(self) -> StoreCounts:
        engine = self._app.engine
        return await self.cache.get("counts", _NOW, lambda: engine.aread(engine.count_queues, MOST))

    async def _counters(self, span: int) -> list[CounterRecord]:
        engine = self._app.engine
        patience = _NOW if span == 60 else _RARELY
        return await self.cache.get(
            ("counters", span), patience, lambda: engine.aread(engine.list_counters, span, SPANS[span])
        )

    async def _sample(self, span: int, queue: str | None = None) -> list[RunSample]:
        engine = self._app.engine
        width, slots = SPANS[span] * _MINUTE, span // SPANS[span]
        depth = _SAMPLE if queue is None else 2 * _SAMPLE
        return await self.cache.get(
            ("sample", span, queue),
            _SOON if span == 60 else _RARELY,
            lambda: engine.aread(engine.sample_runs, slots, width, depth, queue, None),
        )

    async def _worker_records(self) -> list[WorkerRecord]:
        engine = self._app.engine
        return await self.cache.get("worker records", _NOW, lambda: engine.aread(engine.list_workers))

    async def _lock(self) -> StoreLock | None:
        return await self.cache.get("lock", _SOON, self._app.engine.afind_lock)

    async def _standing(self) -> list[StandingWorkflow]:
        engine = self._app.engine
        return await self.cache.get(
            "standing", _SOON, lambda: engine.aread(engine.find_standing_workflows, _STANDING, _LARGE)
        )

    async def _closed(self) -> str | None:
        engine = self._app.engine
        move = await self.cache.get("move", _SOON, lambda: engine.aread(engine.get_move))
        return None if move is None else move.closes

    async def _overview(self) -> Overview:
        lock = await self._lock()
        try:
            return await self._look(lock)
        except EngineUnavailable as error:
            if lock is None:
                raise
            raise EngineUnavailable(f"{error}. {lock.holder}: {lock.cure}") from None

    async def _look(self, lock: StoreLock | None) -> Overview:
        queues, counters, sample = await self._queues(), await self._counters(60), await self._sample(60)
        now, workers = self.now(), await self._worker_records()
        live = [worker for worker in workers if worker.live]
        everything = tally(counters, now, 60, 1, lambda _: "").get("", empty_tally(60, 1))
        scene = Scene(
            now=now,
            app=self._app.name,
            queues=queues,
            tasks=tally(counters, now, 60, 1, lambda record: record.task),
            dead=await self.newest_dead_groups(),
            workers=workers,
            schedules=await self._schedule_records(),
            pauses=await self.pauses(),
            lock=lock,
            standing=await self._standing(),
            closed=await self._closed(),
        )
        return Overview(
            at=from_moment(now),
            attention=find_attention(scene),
            **{name: _sum(getattr(queue, name) for queue in queues) for name in _STATES},
            completed_per_minute=everything.completed_per_minute,
            error_rate=everything.error_rate,
            wait=latency(each.wait for each in sample),
            run=latency(each.run for each in sample),
            workers=len(live),
            slots=sum(worker.concurrency for worker in live),
            series=everything.series,
            queues=queues,
        )

    async def _queues(self) -> list[QueueDocument]:
        counts, counters, sample = await self._counts(), await self._counters(60), await self._sample(60)
        now, workers = self.now(), [worker for worker in await self._worker_records() if worker.live]
        tallies = tally(counters, now, 60, 1, lambda record: record.queue)
        known = {queue.queue: queue for queue in counts.queues}
        paused = {pause.name: pause.since for pause in await self.pauses() if pause.kind == "queue"}
        samples = by_name(sample, lambda each: each.queue)
        return [
            _queue(
                known.get(name) or QueueCounts(name),
                counts.uncounted,
                tallies.get(name) or empty_tally(60, 1),
                latency(each.wait for each in samples[name]),
                sum(worker.serves(name) for worker in workers),
                now,
                paused.get(name),
            )
            for name in sorted(known.keys() | tallies.keys() | paused.keys())
        ]

    async def _pauses(self) -> list[PauseDocument]:
        return [
            PauseDocument(kind=pause.kind, name=pause.name, since=pause.paused_at)
            for pause in await self._app.queues.apaused()
        ]

    async def _workers(self) -> list[WorkerDocument]:
        records, running, now = await self._worker_records(), await self._jobs.running(_RUNNING), self.now()
        by_worker = {record.id: [job for job in running if job.worker == record.name] for record in records}
        return [
            WorkerDocument(
                id=record.id,
                host=record.host,
                pid=record.pid,
                version=record.version,
                queues=None if record.queues is None else list(record.queues),
                tasks=list(record.tasks),
                concurrency=record.concurrency,
                running=record.running,
                memory=record.memory,
                asked_to=record.asked_to,
                blocked_since=from_moment(record.blocked_since),
                blocked_by=record.blocked_by,
                state=record.state_at(now),
                started_at=from_moment(record.started_at),
                renewed_at=from_moment(record.renewed_at),
                stopped_at=from_moment(record.stopped_at),
                jobs=by_worker[record.id],
            )
            for record in sorted(records, key=lambda each: each.stopped_at is not None)
        ]

    async def _schedule_records(self) -> list[ScheduleRecord]:
        engine = self._app.engine
        return await self.cache.get("schedule records", _NOW, lambda: engine.aread(engine.list_schedules, None))

    async def _schedules(self) -> list[ScheduleDocument]:
        records = await self._schedule_records()
        # In a thread: the next ticks of a thousand take a second, in which the event loop serves others.
        return await asyncio.to_thread(lambda: [self._schedule(record) for record in records])

    def _schedule(self, record: ScheduleRecord) -> ScheduleDocument:
        try:
            rule = load_rule(record.rule)
            text, upcoming = str(rule), _upcoming(rule, record)
        except ConfigurationError:  # a newer release wrote it
            text, upcoming = record.rule, []
        return ScheduleDocument(
            app=record.app,
            name=record.name,
            task=record.task,
            rule=text,
            args=self._redaction.of(record.task, stored_value(json.loads(record.job)["args"])),
            missed=record.missed,
            overlap=record.overlap,
            is_declared=record.is_declared,
            is_paused=record.paused_at is not None,
            is_own=record.app == self._app.name,
            next_tick=from_moment(record.next_tick),
            last_tick=from_moment(record.last_tick),
            last_job=record.last_job,
            waiting=len(json.loads(record.waiting)),
            upcoming=upcoming,
        )

    async def _metrics(self, span: int, queue: str | None) -> Metrics:
        step, now = SPANS[span], self.now()
        counters = [each for each in await self._counters(span) if queue in (None, each.queue)]
        sample = await self._sample(span, queue)
        everything = tally(counters, now, span, step, lambda _: "").get("", empty_tally(span, step))
        last = now // (step * _MINUTE)
        begins = [(last - number) * step * _MINUTE for number in reversed(range(span // step))]
        slots = by_slot(sample, begins)
        return Metrics(
            span=span,
            series=everything.series,
            begins=from_moment(begins[0]),
            completed=sum(everything.completed),
            failed=sum(everything.failed),
            wait=latency(each.wait for each in sample),
            run=latency(each.run for each in sample),
            wait_by_slot=[latency(each.wait for each in slot) for slot in slots],
            run_by_slot=[latency(each.run for each in slot) for slot in slots],
            tasks=_tasks(tally(counters, now, span, step, lambda record: record.task), sample),
            run_histogram=histogram([each.run for each in sample]),
            wait_histogram=histogram([each.wait for each in sample]),
        )


def _upcoming(rule: Rule, record: ScheduleRecord) -> list[datetime]:
    ticks: list[datetime] = []
    tick = record.next_tick
    while tick is not None and len(ticks) < _UPCOMING:
        ticks.append(from_moment(tick))
        tick = rule.next_tick(tick, record.created_at)
    return ticks


_STATES = ("ready", "running", "scheduled", "retrying", "held", "dead")


def _queue(
    counts: QueueCounts,
    uncounted: frozenset[str],
    figures: Tally,
    wait: Latency,
    workers: int,
    now: int,
    paused_at: datetime | None,
) -> QueueDocument:
    def count(name: str, state: str | None = None) -> Count:
        return Count(count=getattr(counts, name), at_least=(state or name) in uncounted)

    oldest = counts.oldest_ready_at
    return QueueDocument(
        name=counts.queue,
        paused_at=paused_at,
        ready=Count(count=counts.ready, at_least=counts.ready >= MOST),
        scheduled=count("scheduled"),
        retrying=count("retrying", "scheduled"),
        held=count("limited", "held") + count("unknown", "held") + count("paused", "held"),
        unknown=count("unknown", "held"),
        running=count("running"),
        dead=count("dead"),
        oldest_seconds=None if oldest is None else max(0, now - oldest) / _SECOND,
        completed_per_minute=figures.completed_per_minute,
        error_rate=figures.error_rate,
        workers=workers,
        series=figures.series,
        wait=wait,
    )


def _tasks(tallies: dict[str, Tally], sample: Sequence[RunSample]) -> list[TaskFigures]:
    samples = by_name(sample, lambda each: each.task)
    found = [
        TaskFigures(
            task=task,
            completed=figures.by_outcome["completed"],
            failed=sum(figures.failed),
            dead=figures.by_outcome["dead"],
            retried=figures.by_outcome["failed"],
            error_rate=figures.error_rate_of_all,
            mean_seconds=figures.mean_seconds,
            series=figures.series,
            run=latency(each.run for each in samples[task]),
            wait=latency(each.wait for each in samples[task]),
        )
        for task, figures in tallies.items()
    ]
    return sorted(found, key=lambda each: (-each.failed, -each.completed, each.task))


def _sum(counts: Iterable[Count]) -> Count:
    return sum(counts, Count(count=0))
