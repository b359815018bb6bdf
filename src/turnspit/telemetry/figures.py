"""The fleet's figures, as metrics read from the store."""

import threading
from collections import Counter
from dataclasses import fields

from turnspit.app import Turnspit
from turnspit.clock import monotonic
from turnspit.contract.verbs import Verb
from turnspit.errors import EngineError
from turnspit.loads import seconds_since
from turnspit.records import QueueCounts, StoreCounts, WorkerRecord
from turnspit.telemetry.recorder import OTHER, Key, Series

__all__ = ["Figures"]

_MOST = 10_000
"""Jobs are counted up to this number."""
_STATES = tuple(field.name for field in fields(QueueCounts) if field.name not in ("queue", "oldest_ready_at"))
_SHARE_OF_TIME = 0.02
_SHORTEST_PAUSE = 1.0
_MOST_QUEUES = 1000
"""Queues with series of their own; the others are added up."""


class Figures:
    """Reads the store when metrics are asked for. That takes at most 2 % of the time. Thread-safe."""

    def __init__(self, app: Turnspit) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._series: Series = {}
        self._known: dict[str, None] = {}
        self._ask_again_at = 0.0

    @property
    def series(self) -> Series:
        """The metrics of the store. If it does not answer: only ``turnspit_store_up``, which is 0."""
        with self._lock:
            if monotonic() >= self._ask_again_at:
                started = monotonic()
                self._series = self._ask()
                ended = monotonic()
                self._ask_again_at = ended + max(_SHORTEST_PAUSE, (ended - started) / _SHARE_OF_TIME)
            return self._series

    def _ask(self) -> Series:
        try:
            counts, workers = self._app.store.own_engine.read(self._look)
        except EngineError:
            return {("turnspit_store_up",): (0.0,)}
        return {("turnspit_store_up",): (1.0,), **self._of_queues(counts), **_of_workers(workers)}

    def _of_queues(self, counts: StoreCounts) -> Series:
        """The metrics of each queue. A queue that had jobs before and is empty now has 0, so that its series goes on.

        Queues beyond the first thousand share one series: an app may have a queue for each customer.
        """
        queues = {queue.queue: queue for queue in counts.queues}
        new = [name for name in queues if name not in self._known]
        self._known.update(dict.fromkeys(new[: max(0, _MOST_QUEUES - len(self._known))]))
        found: dict[Key, tuple[float]] = {}
        for name in (*self._known, *(name for name in new if name not in self._known)):
            label, queue = name if name in self._known else OTHER, queues.get(name, QueueCounts(name))
            for state in _STATES:
                (before,) = found.get(("turnspit_jobs", label, state), (0.0,))
                found["turnspit_jobs", label, state] = (before + getattr(queue, state),)
            age = seconds_since(queue.oldest_ready_at, counts.now)
            (before,) = found.get(("turnspit_oldest_ready_seconds", label), (0.0,))
            found["turnspit_oldest_ready_seconds", label] = (max(before, age),)
        return found

    def _look(self) -> Verb[tuple[StoreCounts, list[WorkerRecord]]]:
        engine = self._app.store.own_engine
        counts = yield from engine.count_queues(_MOST)
        return counts, (yield from engine.list_workers())


def _of_workers(workers: list[WorkerRecord]) -> Series:
    live = [worker for worker in workers if worker.live]
    versions = Counter(worker.version for worker in live)
    return {
        **{("turnspit_workers", version): (float(count),) for version, count in versions.items()},
        ("turnspit_fleet_slots",): (float(sum(worker.concurrency for worker in live)),),
        ("turnspit_fleet_running",): (float(sum(worker.running for worker in live)),),
        ("turnspit_fleet_blocked",): (float(sum(worker.blocked_since is not None for worker in live)),),
    }
