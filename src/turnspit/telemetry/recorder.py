"""Counts what jobs, workers and the store do in this process."""

import os
import threading
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from turnspit.app import Turnspit
from turnspit.events import Event
from turnspit.records import NewJob
from turnspit.telemetry.metrics import BY_NAME
from turnspit.telemetry.watching import watched

__all__ = ["OTHER", "Key", "Recorder", "Series", "recorder_of"]

Key = tuple[str, ...]
"""A metric's name, then the values of its labels."""
Series = Mapping[Key, Sequence[float]]
"""By key: the value of a counter or a gauge; of a histogram the count in each bucket, the count beyond, and the sum."""

_MOST_PAIRS = 1000
OTHER = "other"
_COUNTED: dict[str, tuple[str, ...]] = {
    "completed": ("turnspit_jobs_completed_total",),
    "failed": ("turnspit_attempts_failed_total", "turnspit_jobs_retried_total"),
    "dead": ("turnspit_jobs_dead_total",),
    "cancelled": ("turnspit_jobs_cancelled_total",),
    "snoozed": ("turnspit_jobs_snoozed_total",),
    "lost": ("turnspit_attempts_lost_total",),
    "rescued": ("turnspit_jobs_rescued_total",),
}
_FAILED = "turnspit_attempts_failed_total"


class Recorder:
    """Counts from its construction on; ``series`` has the counts. Thread-safe."""

    def __init__(self, app: Turnspit) -> None:
        self._executors = app.executors
        self._begin()
        _living.add(self)
        app.senders.append(self._send)
        app.on("started")(self._start)
        app.on("completed", "failed", "dead", "cancelled", "snoozed", "lost", "rescued")(self._end)
        app.store.watch(lambda engine: watched(engine, self._called))

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._series: dict[Key, list[float]] = {}
        self._pairs: set[tuple[str, str]] = set()

    def forget_after_fork(self) -> None:
        """Start from zero in the child: the counts are the parent's, and one of its threads may have held the lock."""
        self._begin()

    @property
    def series(self) -> Series:
        """All counts, and the slots of this process's workers."""
        with self._lock:
            found: dict[Key, Sequence[float]] = {key: tuple(values) for key, values in self._series.items()}
        executors = [each for ref in self._executors.valuerefs() if (each := ref()) is not None]
        found["turnspit_worker_slots",] = (sum(each.concurrency for each in executors),)
        found["turnspit_worker_busy",] = (sum(len(each.running) for each in executors),)
        return found

    def _send(self, jobs: Sequence[NewJob[Any]]) -> "_Counting":
        return _Counting(self, jobs)

    def enqueued(self, jobs: Sequence[NewJob[Any]]) -> None:
        """These were stored."""
        with self._lock:
            for job in jobs:
                self._count("turnspit_jobs_enqueued_total", *self._labels(job.queue, job.task))

    def _start(self, event: Event) -> None:
        with self._lock:
            labels = self._labels(event.queue, event.task)
            self._count("turnspit_attempts_started_total", *labels)
            if event.waited is not None:
                self._observe("turnspit_job_wait_seconds", event.waited, *labels)

    def _end(self, event: Event) -> None:
        with self._lock:
            labels = self._labels(event.queue, event.task)
            for name in _COUNTED[event.name]:
                self._count(name, *labels)
            if event.seconds is not None:
                self._observe("turnspit_job_run_seconds", event.seconds, *labels)
                if event.name == "dead":  # with a duration: an attempt ended, and its worker did not crash
                    self._count(_FAILED, *labels)

    def _called(self, verb: str, seconds: float, error: str | None) -> None:
        with self._lock:
            self._observe("turnspit_store_seconds", seconds, verb)
            if error is not None:
                self._count("turnspit_store_errors_total", verb, error)

    def _labels(self, queue: str, task: str) -> tuple[str, str]:
        """At most 1,000 pairs: a queue per customer would otherwise be a series per customer, in every worker."""
        pair = (queue, task)
        if pair not in self._pairs:
            if len(self._pairs) >= _MOST_PAIRS:
                return OTHER, task
            self._pairs.add(pair)
        return pair

    def _count(self, *key: str) -> None:
        values = self._series.get(key)
        if values is None:
            self._series[key] = [1.0]
        else:
            values[0] += 1.0

    def _observe(self, name: str, value: float, *labels: str) -> None:
        key, buckets = (name, *labels), BY_NAME[name].buckets
        values = self._series.get(key)
        if values is None:
            values = self._series[key] = [0.0] * (len(buckets) + 2)
        values[bisect_left(buckets, value)] += 1.0
        values[-1] += value


class _Counting:
    def __init__(self, recorder: Recorder, jobs: Sequence[NewJob[Any]]) -> None:
        self._recorder = recorder
        self.jobs = jobs

    def end(self, ids: Sequence[int], error: BaseException | None) -> None:
        if error is None and ids:  # none where an earlier workflow holds the idempotency key
            self._recorder.enqueued(self.jobs)


_living: "WeakSet[Recorder]" = WeakSet()


def _forget_all() -> None:
    for recorder in list(_living):
        recorder.forget_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)

_recorders: "WeakKeyDictionary[Turnspit, Recorder]" = WeakKeyDictionary()


def recorder_of(app: Turnspit) -> Recorder:
    """The app's recorder in this process: made at the first call."""
    if app not in _recorders:
        _recorders[app] = Recorder(app)
    return _recorders[app]
