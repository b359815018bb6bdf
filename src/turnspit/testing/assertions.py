"""What a test asserts about enqueued jobs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar, overload

from turnspit.clock import Duration
from turnspit.jobs import Job
from turnspit.operations import FilterFields, Jobs
from turnspit.states import JobState
from turnspit.tasks import Task
from turnspit.testing.matching import Wanted, check_times, find_task, names_of

__all__ = ["Assertions"]

R = TypeVar("R")

_PAGE = 1000


class Assertions(ABC):
    """The assertions of a ``TestStore``."""

    @property
    @abstractmethod
    def jobs(self) -> Jobs:
        """``app.jobs``."""

    @property
    @abstractmethod
    def tasks(self) -> Mapping[str, Task[Any, Any]]:
        """``app.tasks``."""

    @overload
    def enqueued(self, task: Task[..., R], *, state: JobState | str | None = None) -> list[Job[R]]: ...
    @overload
    def enqueued(self, task: str | None = None, *, state: JobState | str | None = None) -> list[Job[Any]]: ...
    def enqueued(
        self, task: Task[..., Any] | str | None = None, *, state: JobState | str | None = None
    ) -> list[Job[Any]]:
        """Every job of the store, or those of one task or in one state; oldest first."""
        names, fields = self._names(task), _fields(state)
        page = self.jobs.list(limit=_PAGE, **fields)
        jobs = [*page]
        while page.next is not None:
            page = self.jobs.list(limit=_PAGE, after=page.next, **fields)
            jobs += page
        return _oldest_first(jobs, names)

    @overload
    async def aenqueued(self, task: Task[..., R], *, state: JobState | str | None = None) -> list[Job[R]]: ...
    @overload
    async def aenqueued(self, task: str | None = None, *, state: JobState | str | None = None) -> list[Job[Any]]: ...
    async def aenqueued(
        self, task: Task[..., Any] | str | None = None, *, state: JobState | str | None = None
    ) -> list[Job[Any]]:
        """``enqueued`` for async code."""
        names, fields = self._names(task), _fields(state)
        page = await self.jobs.alist(limit=_PAGE, **fields)
        jobs = [*page]
        while page.next is not None:
            page = await self.jobs.alist(limit=_PAGE, after=page.next, **fields)
            jobs += page
        return _oldest_first(jobs, names)

    def assert_enqueued(
        self,
        task: Task[..., Any] | str,
        /,
        *,
        times: int | None = None,
        queue: str | None = None,
        state: JobState | str | None = None,
        priority: int | None = None,
        tag: str | None = None,
        at: datetime | None = None,
        delay: Duration | None = None,
        args: Mapping[str, Any] | None = None,
        **some_args: Any,
    ) -> list[Job[Any]]:
        """Assert that jobs of ``task`` with these arguments were enqueued, whatever became of them; returns those jobs.

        Arguments that are not named may be anything. A value may be given as the function sees it (a ``UUID``) or
        as it is stored (its text), and may be any object with an ``==`` of its own, like ``unittest.mock.ANY``.

        :param times: how many; by default at least one.
        :param state: their state now, for example ``"completed"``.
        :param tag: one of their tags.
        :param at: when they are due; a retry changes that.
        :param delay: how long after ``enqueue`` they are due, in seconds or as a ``timedelta``.
        :param args: more arguments: those that are named like one of the parameters above.
        :raises AssertionError: listing what was enqueued instead.
        :raises ConfigurationError: if the app has no such task.
        :raises InvalidArguments: if the task has no such argument.

        ::

            t.assert_enqueued(send_confirmation, times=1, queue="email", order_id=7)
        """
        __tracebackhide__ = True
        wanted = self._wanted(task, args, some_args, queue, state, priority, tag, at, delay)
        return check_times(wanted, self.enqueued(), times)

    async def aassert_enqueued(
        self,
        task: Task[..., Any] | str,
        /,
        *,
        times: int | None = None,
        queue: str | None = None,
        state: JobState | str | None = None,
        priority: int | None = None,
        tag: str | None = None,
        at: datetime | None = None,
        delay: Duration | None = None,
        args: Mapping[str, Any] | None = None,
        **some_args: Any,
    ) -> list[Job[Any]]:
        """``assert_enqueued`` for async code."""
        __tracebackhide__ = True
        wanted = self._wanted(task, args, some_args, queue, state, priority, tag, at, delay)
        return check_times(wanted, await self.aenqueued(), times)

    def assert_not_enqueued(
        self,
        task: Task[..., Any] | str,
        /,
        *,
        queue: str | None = None,
        state: JobState | str | None = None,
        priority: int | None = None,
        tag: str | None = None,
        at: datetime | None = None,
        delay: Duration | None = None,
        args: Mapping[str, Any] | None = None,
        **some_args: Any,
    ) -> None:
        """Assert that no job of ``task`` with these properties was enqueued; see ``assert_enqueued``.

        Name as few properties as possible: each one makes the assertion weaker.

        ::

            t.assert_not_enqueued(send_confirmation)
        """
        __tracebackhide__ = True
        wanted = self._wanted(task, args, some_args, queue, state, priority, tag, at, delay)
        check_times(wanted, self.enqueued(), 0)

    async def aassert_not_enqueued(
        self,
        task: Task[..., Any] | str,
        /,
        *,
        queue: str | None = None,
        state: JobState | str | None = None,
        priority: int | None = None,
        tag: str | None = None,
        at: datetime | None = None,
        delay: Duration | None = None,
        args: Mapping[str, Any] | None = None,
        **some_args: Any,
    ) -> None:
        """``assert_not_enqueued`` for async code."""
        __tracebackhide__ = True
        wanted = self._wanted(task, args, some_args, queue, state, priority, tag, at, delay)
        check_times(wanted, await self.aenqueued(), 0)

    def _names(self, task: Task[..., Any] | str | None) -> tuple[str, ...] | None:
        return None if task is None else names_of(find_task(self.tasks, task))

    def _wanted(
        self,
        task: Task[..., Any] | str,
        args: Mapping[str, Any] | None,
        some_args: Mapping[str, Any],
        queue: str | None,
        state: JobState | str | None,
        priority: int | None,
        tag: str | None,
        at: datetime | None,
        delay: Duration | None,
    ) -> Wanted:
        return Wanted(
            task=find_task(self.tasks, task),
            args={**(args or {}), **some_args},
            queue=queue,
            state=state,
            priority=priority,
            tag=tag,
            at=at,
            delay=delay,
        )


def _oldest_first(jobs: list[Job[Any]], names: tuple[str, ...] | None) -> list[Job[Any]]:
    return sorted((job for job in jobs if names is None or job.task in names), key=lambda job: job.id)


def _fields(state: JobState | str | None) -> FilterFields:
    return {} if state is None else {"state": state}
