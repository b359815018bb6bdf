"""Bounded queues: whether there is room for another job, without counting at each enqueue.

A process counts the waiting jobs of a bounded queue at most once a second and adds what it stores itself meanwhile. So
one process never goes beyond the bound, and several together by what the others store within that second.
"""

import threading
from collections import Counter
from collections.abc import AsyncIterator, Collection, Generator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Protocol

from turnspit.clock import monotonic, sleep, thread_sleep
from turnspit.contract import Engine
from turnspit.errors import QueueFull
from turnspit.queues import Queue
from turnspit.records import NewJob

__all__ = ["Backlogs", "Bounded"]

_FRESH = 1.0
"""Seconds for which a count of waiting jobs is used."""
_SHARE_OF_TIME = 20
"""Counting takes at most a twentieth of the time, however long the queue is."""
_QUICKLY_COUNTED = 1000
"""A full queue is counted again at once if its bound is no larger than this."""
_FIRST_WAIT = 0.02
_LONGEST_WAIT = 0.5


_NOTHING: Mapping[str, int] = {}

_Steps = Generator[str | float, int, None]


class Bounded(Protocol):
    """What the backlogs need of their app."""

    bounded_queues: Mapping[str, Queue]
    deadline: float

    @property
    def engine(self) -> Engine:
        """The store."""
        ...

    def in_transaction(self) -> bool:
        """Whether the caller's calls join a transaction of its framework."""
        ...


class Backlogs:
    """The bounded queues of an app, as this process knows them."""

    def __init__(self, app: Bounded) -> None:
        self._app = app
        self._known: dict[str, _Backlog] = {}
        self._location = ""

    @contextmanager
    def room(self, jobs: Collection[NewJob[Any]], tx: object | None) -> Iterator[None]:
        """Keep room for jobs that are stored inside the block.

        :raises QueueFull: if a queue has none.
        """
        reserved = self.reserve(jobs, tx=tx)
        try:
            yield
        finally:
            self.release(reserved)

    @asynccontextmanager
    async def aroom(self, jobs: Collection[NewJob[Any]], tx: object | None) -> AsyncIterator[None]:
        """``room`` for async code."""
        reserved = await self.areserve(jobs, tx=tx)
        try:
            yield
        finally:
            self.release(reserved)

    def are_bounded(self, jobs: Iterable[NewJob[Any]]) -> bool:
        """Whether one of the jobs goes into a bounded queue."""
        return bool(self._app.bounded_queues) and any(job.queue in self._app.bounded_queues for job in jobs)

    def reserve(
        self,
        jobs: Collection[NewJob[Any]],
        later: Collection[NewJob[Any]] = (),
        *,
        tx: object | None,
        has: Mapping[str, int] = _NOTHING,
    ) -> Counter[str]:
        """Keep room for jobs that are about to be stored; wait for it if their queue says so. For ``release``.

        :param later: jobs that are not waiting in their queues yet. No room is kept for them, but their queues must not
            be full now.
        :param has: room that the same workflow was given before, by queue.
        :raises QueueFull: if a queue has none.
        """
        reserved: Counter[str] = Counter()
        steps: _Steps = self._reserving(self._bounded(jobs, later, has), tx, reserved, has)
        answer: int | None = None
        try:
            while (asked := _next(steps, answer)) is not None:
                if isinstance(asked, str):
                    answer = self._count(asked, tx)
                else:
                    thread_sleep(asked)
                    answer = 0
        except BaseException:
            self.release(reserved)
            raise
        return reserved

    async def areserve(
        self,
        jobs: Collection[NewJob[Any]],
        later: Collection[NewJob[Any]] = (),
        *,
        tx: object | None,
        has: Mapping[str, int] = _NOTHING,
    ) -> Counter[str]:
        """``reserve`` for async code."""
        reserved: Counter[str] = Counter()
        steps: _Steps = self._reserving(self._bounded(jobs, later, has), tx, reserved, has)
        answer: int | None = None
        try:
            while (asked := _next(steps, answer)) is not None:
                if isinstance(asked, str):
                    answer = await self._acount(asked, tx)
                else:
                    await sleep(asked)
                    answer = 0
        except BaseException:
            self.release(reserved)
            raise
        return reserved

    def _reserving(
        self, counts: list[tuple[str, int]], tx: object | None, reserved: Counter[str], has: Mapping[str, int]
    ) -> _Steps:
        """Yields the name of a queue to have its waiting jobs counted, or seconds to wait."""
        for queue, count in counts:
            backlog, until = self._of(queue), monotonic() + self._waiting_time(queue, tx)
            pause = _FIRST_WAIT
            while not backlog.take(count):
                if backlog.is_stale:
                    began, settled = monotonic(), backlog.settled
                    backlog.learn((yield queue), began, settled)
                    if backlog.take(count):
                        break
                backlog.check(count + has.get(queue, 0), until)
                yield pause
                pause = min(_LONGEST_WAIT, pause * 2)
            reserved[queue] = count

    def release(self, reserved: Counter[str]) -> None:
        """Give the kept room back: the jobs are stored, or will not be."""
        for queue, count in reserved.items():
            self._of(queue).settle(count)

    def _count(self, queue: str, tx: object | None) -> int:
        """In the caller's transaction, which may be the one that makes the store's tables."""
        engine, most = self._app.engine, self._of(queue).most + 1
        if tx is None:
            return engine.read(engine.count_waiting, queue, most)
        return engine.write_in(tx, engine.count_waiting, queue, most)

    async def _acount(self, queue: str, tx: object | None) -> int:
        engine, most = self._app.engine, self._of(queue).most + 1
        if tx is None:
            return await engine.aread(engine.count_waiting, queue, most)
        return await engine.awrite_in(tx, engine.count_waiting, queue, most)

    def _bounded(
        self, jobs: Collection[NewJob[Any]], later: Collection[NewJob[Any]], has: Mapping[str, int]
    ) -> list[tuple[str, int]]:
        """How many of them go into each bounded queue now; those with a later time are not waiting yet."""
        bounded = self._app.bounded_queues
        if not bounded:
            return []
        counts = Counter(job.queue for job in jobs if job.queue in bounded and not job.delay and job.at is None)
        for job in later:
            if job.queue in bounded and job.queue not in has:
                counts.setdefault(job.queue, 0)
        return sorted(counts.items())

    def _of(self, queue: str) -> "_Backlog":
        location = self._app.engine.location
        if location != self._location:  # another store
            self._location, self._known = location, {}
        return self._known.setdefault(queue, _Backlog(self._app.bounded_queues[queue]))

    def _waiting_time(self, queue: str, tx: object | None) -> float:
        """Seconds to wait for room. None inside a transaction: workers may need its locks to make room."""
        waits = self._app.bounded_queues[queue].when_full == "wait"
        return self._app.deadline if waits and tx is None and not self._app.in_transaction() else 0.0


def _next(steps: _Steps, answer: int | None) -> str | float | None:
    """The next step; the first one needs no answer to a step before."""
    try:
        return next(steps) if answer is None else steps.send(answer)
    except StopIteration:
        return None


class _Backlog:
    """How many jobs wait in one bounded queue, as this process knows it."""

    def __init__(self, queue: Queue) -> None:
        assert queue.max_waiting is not None
        self.name = queue.name
        self.most = queue.max_waiting
        self._lock = threading.Lock()
        self._counted = 0
        self._stored = 0
        self._under_way = 0
        self.settled = 0
        """How many jobs this process has stored, or failed to store, ever."""
        self._fresh_until = 0.0
        self._full_until = 0.0

    @property
    def is_stale(self) -> bool:
        """Whether a count is due, after ``take`` found no room."""
        return monotonic() >= self._full_until

    def take(self, count: int) -> bool:
        """Take room for jobs; whether there was any. A count of 0 only asks whether the queue is not full."""
        with self._lock:
            if monotonic() >= self._fresh_until or self._counted + self._stored + max(count, 1) > self.most:
                return False
            self._stored += count
            self._under_way += count
            return True

    def learn(self, counted: int, began: float, settled: int) -> None:
        """Take in a count. What this process was storing since it ``began`` may be among the ``counted`` or not, and is
        added to be safe.

        :param settled: ``self.settled`` when the count began.
        """
        ended = monotonic()
        with self._lock:
            self._counted, self._stored = counted, self._under_way + self.settled - settled
            costly = ended + (ended - began) * _SHARE_OF_TIME
            self._fresh_until = max(began + _FRESH, costly)
            self._full_until = ended if self.most <= _QUICKLY_COUNTED else costly

    def settle(self, count: int) -> None:
        with self._lock:
            count = min(count, self._under_way)  # it may have been taken before the app got another store
            self._under_way -= count
            self.settled += count

    def check(self, count: int, until: float) -> None:
        if count > self.most:
            raise QueueFull(
                f"queue {self.name} takes {self.most:,} waiting jobs (max_waiting), and {count:,} at once were to be "
                "stored: give enqueue_many a smaller chunk=, or let fewer jobs of a workflow begin at once"
            )
        if monotonic() >= until:
            raise QueueFull(
                f"queue {self.name} is full: {self.most:,} jobs wait (max_waiting), and nothing was stored; start more "
                "workers for it, try again later, or let callers wait for room with when_full='wait'"
            )
