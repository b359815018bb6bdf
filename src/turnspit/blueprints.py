"""Declaring tasks: on an app, or on a blueprint that an app includes later.

::

    reports = Blueprint("reports")

    @reports.task
    def build(month: str) -> str: ...

    app.include(reports)          # the task's name is "reports.build"
"""

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from turnspit.batches import Batch, BatchTask, make_batch_task
from turnspit.clock import Duration
from turnspit.codec import check_text
from turnspit.context import JobContext
from turnspit.errors import ConfigurationError
from turnspit.keys import Key
from turnspit.limits import Concurrency, Rate
from turnspit.other_queues import tell_option
from turnspit.retries import Retry
from turnspit.schedules import Rule, schedule_names
from turnspit.task_options import TaskOptions
from turnspit.tasks import AsyncTask, SyncTask, Task, make_task
from turnspit.uniqueness import Debounce, Unique

__all__ = ["Blueprint", "TaskDeclarer", "TaskDecorator", "TaskRegistry"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_OPTIONS = [option.name for option in fields(TaskOptions)]


class TaskDecorator(Protocol):
    """What ``@app.task(...)`` returns: it keeps the function's own signature and result type."""

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a coroutine function is a function too
        self, function: Callable[Concatenate[JobContext, P], Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[JobContext, P], R], /) -> SyncTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> SyncTask[P, R]: ...


class BatchTaskDecorator(Protocol):
    """What ``@app.batch_task(...)`` returns: the task is enqueued with what is in the handler's batch."""

    @overload
    def __call__(self, function: Callable[[Batch[T]], Coroutine[Any, Any, None]], /) -> BatchTask[[T], Any]: ...
    @overload
    def __call__(self, function: Callable[[Batch[T]], None], /) -> BatchTask[[T], Any]: ...


class TaskRegistry(Mapping[str, Task[Any, Any]]):
    """Tasks by name and alias. Two tasks of one name are refused, except when a notebook's cell runs again."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task[Any, Any]] = {}
        self.names: frozenset[str] = frozenset()

    def add(self, task: Task[Any, Any]) -> None:
        """Add a task under its name and aliases.

        :raises ConfigurationError: if another function's task has one of them.
        """
        for name in (task.name, *task.aliases):
            other = self._tasks.get(name)
            if other is not None and other is not task and other.origin != task.origin:
                raise ConfigurationError(
                    f"two tasks are named {name!r}: {'.'.join(other.origin)} and {'.'.join(task.origin)}; "
                    "give one of them @task(name=...)"
                )
        self._check_schedules(task)
        replaced = self._tasks.get(task.name)
        if replaced is not None and replaced.name == task.name:  # with its aliases, which the new one may not have
            self._tasks = {name: other for name, other in self._tasks.items() if other is not replaced}
        for name in (task.name, *task.aliases):
            self._tasks[name] = task
        self.names = frozenset(self._tasks)

    def _check_schedules(self, task: Task[Any, Any]) -> None:
        names = set(schedule_names(task.name, task.schedules))
        for other in self.tasks if names else ():
            same = names.intersection(schedule_names(other.name, other.schedules))
            if same and other.origin != task.origin:
                raise ConfigurationError(
                    f"tasks {other.name} and {task.name} both have a schedule named {min(same)!r}, as a task's second "
                    "schedule is named: give one of them @task(name=...)"
                )

    def __getitem__(self, name: str) -> Task[Any, Any]:
        return self._tasks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def tasks(self) -> list[Task[Any, Any]]:
        """Each task once, by name."""
        return sorted(set(self._tasks.values()), key=lambda task: task.name)


class TaskDeclarer:
    """The ``task`` decorator, shared by apps and blueprints."""

    _prefix = ""
    _default_queue = "default"

    def __init__(self) -> None:
        super().__init__()
        self.tasks = TaskRegistry()

    def _declare(self, task: Task[Any, Any]) -> None:
        self.tasks.add(task)

    @overload
    def task(  # type: ignore[overload-overlap]  # a coroutine function is a function too
        self, function: Callable[Concatenate[JobContext, P], Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def task(  # type: ignore[overload-overlap]
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def task(self, function: Callable[Concatenate[JobContext, P], R], /) -> SyncTask[P, R]: ...
    @overload
    def task(self, function: Callable[P, R], /) -> SyncTask[P, R]: ...
    @overload
    def task(
        self,
        *,
        name: str | None = None,
        aliases: Sequence[str] = (),
        queue: str | None = None,
        priority: int = 0,
        retry: Retry | None = None,
        timeout: Duration | None = None,
        isolate: bool = False,
        keep_result: bool | Duration = True,
        unique: Unique | Debounce | None = None,
        schedule: Rule | Sequence[Rule] | None = None,
        rate: Rate | None = None,
        concurrency: Concurrency | None = None,
        fair_key: Key = None,
        upgrade: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        on_dead: Callable[[JobContext, BaseException], Any] | None = None,
    ) -> TaskDecorator: ...
    def task(self, function: Any = None, queue: str | None = None, **options: Any) -> Any:
        """Declare a task on ``async def`` (runs on the event loop) or ``def`` (runs in a thread, or a process).

        A leading ``JobContext`` parameter is given by the worker and is not part of the caller's signature.
        The options are those of ``TaskOptions``.

        :raises ConfigurationError: if the function, its signature or an option cannot be a task's.

        ::

            @app.task(queue="email", retry=Retry(attempts=5), timeout=30)
            async def send_confirmation(to: EmailStr, order_id: int) -> str: ...
        """
        unknown = options.keys() - _OPTIONS
        if unknown:
            raise ConfigurationError(
                f"@task has no option {', '.join(sorted(unknown))}; it has {', '.join(_OPTIONS)}{tell_option(unknown)}"
            )

        def declare(function: Callable[..., Any]) -> Task[Any, Any]:
            task = make_task(function, self._prefix, TaskOptions(queue=queue or self._default_queue, **options))
            self._declare(task)
            return task

        return declare if function is None else declare(function)

    def batch_task(
        self,
        function: None = None,
        /,
        *,
        size: int = 100,
        wait: Duration = 1.0,
        name: str | None = None,
        aliases: Sequence[str] = (),
        queue: str | None = None,
        priority: int = 0,
        retry: Retry | None = None,
        timeout: Duration | None = None,
        keep_result: bool | Duration = True,
        unique: Unique | Debounce | None = None,
        on_dead: Callable[[JobContext, BaseException], Any] | None = None,
    ) -> BatchTaskDecorator:
        """Declare a task whose handler gets many jobs in one call, and answers for each.

        :param size: how many jobs one call gets at most.
        :param wait: seconds or ``timedelta`` for which the first job of a batch waits for others.

        The rest as for ``task``. Each job keeps its own attempts, retries, time-out and result; a batch takes one slot
        of its worker. A handler on a plain ``def`` runs in a thread, as a plain task's function does.

        ::

            @app.batch_task(size=100, wait=2.0)
            async def index(batch: Batch[Document]) -> None:
                for item, error in zip(batch, await search.bulk_index(batch.values)):
                    if error is not None:
                        item.fail(error)

            index.enqueue(document)
        """
        if function is not None:
            raise ConfigurationError("write @batch_task with parentheses, as in @app.batch_task(size=100)")
        options = TaskOptions(
            name=name,
            aliases=aliases,
            queue=queue or self._default_queue,
            priority=priority,
            retry=retry,
            timeout=timeout,
            keep_result=keep_result,
            unique=unique,
            on_dead=on_dead,
        )

        def declare(function: Callable[..., Any]) -> BatchTask[Any, Any]:
            task = make_batch_task(function, self._prefix, options, size, wait)
            self._declare(task)
            return task

        return declare


class Blueprint(TaskDeclarer):
    """A group of tasks that needs no app at import; ``app.include(blueprint)`` makes them usable.

    :param name: put before each task's name, with a dot.
    :param queue: the default queue of its tasks.
    """

    def __init__(self, name: str, *, queue: str = "default") -> None:
        super().__init__()
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError(f"a blueprint needs a name, not {name!r}")
        self.name = check_text(name, "a blueprint's name")
        self._prefix = name + "."
        self._default_queue = queue
        self._includers: list[Callable[[Task[Any, Any]], None]] = []

    def _declare(self, task: Task[Any, Any]) -> None:
        task.blueprint = self
        super()._declare(task)
        for include in self._includers:
            include(task)

    def include_into(self, include: Callable[[Task[Any, Any]], None]) -> None:
        """Call ``include`` with every task, also with those that are declared later. For ``app.include``."""
        if include in self._includers:
            return
        for task in self.tasks.tasks:  # first: an app that refuses one of them gets none that is declared later
            include(task)
        self._includers.append(include)

    def __repr__(self) -> str:
        return f"<Blueprint {self.name} {len(self.tasks.tasks)} tasks>"
