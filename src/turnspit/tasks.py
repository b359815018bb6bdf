"""Tasks: declared functions whose calls can be stored and run later.

::

    app = Turnspit("sqlite:///shop.db")

    @app.task(queue="email", retry=Retry(attempts=5), timeout=30)
    async def send_confirmation(to: EmailStr, order_id: int) -> str: ...

    send_confirmation.enqueue(to="ada@example.com", order_id=7)
"""

import sys
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from functools import update_wrapper
from inspect import iscoroutinefunction
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast

from turnspit.chunks import achunks, chunks
from turnspit.clock import Duration, to_duration, to_moment
from turnspit.codec import check_text, encode
from turnspit.context import JobContext, current_job
from turnspit.enqueuer import Enqueuer
from turnspit.errors import ConfigurationError, InvalidArguments, InvalidPayload, NotIncluded, TurnspitError
from turnspit.jobs import Job
from turnspit.limits import make_fair_key, make_lane
from turnspit.other_queues import TellsWhatToWrite
from turnspit.placeholders import contains_placeholder, template_of
from turnspit.records import NewJob
from turnspit.retries import Retry
from turnspit.schedules import check_rules
from turnspit.signatures import Signature, check_function, check_isolated, check_parameters
from turnspit.task_options import (
    TaskOptions,
    check_limits,
    check_priority,
    check_retry,
    check_scheduled,
    check_timeout,
    expiry_options,
)
from turnspit.uniqueness import check_unique, idempotency_rule

__all__ = [
    "AsyncTask",
    "BoundTask",
    "SyncTask",
    "Task",
    "make_task",
]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Others = ParamSpec("Others")


class TakesItems(Protocol[T, Others]):
    """A task whose first argument is a list; to type checkers, what ``map`` is a method of."""

    def new(self, items: list[T], /, *args: Others.args, **kwargs: Others.kwargs) -> NewJob[Any]: ...


class Task(TellsWhatToWrite, Generic[P, R]):
    """A declared function. ``enqueue`` stores a call of it; a plain call is a plain call."""

    is_async: bool

    def __init__(self, function: Callable[..., Any], name: str, options: TaskOptions) -> None:
        update_wrapper(cast("Any", self), function)
        self.function = function
        self.name = check_text(name, "a task's name")
        if isinstance(options.aliases, str):
            raise ConfigurationError(f"aliases is a list of names, not {options.aliases!r}")
        self.aliases = tuple(check_text(alias, "a task's alias") for alias in options.aliases)
        self.queue = check_text(options.queue, "a queue's name")
        self.priority = check_priority(options.priority)
        self.retry = check_retry(options.retry)
        self.timeout = None if options.timeout is None else check_timeout(options.timeout)
        self.isolate = bool(options.isolate)
        self.upgrade = options.upgrade
        if self.upgrade is not None:
            check_parameters(self.upgrade, f"upgrade of task {name} takes the old arguments", "old")
        self.on_dead = options.on_dead
        if self.on_dead is not None:
            check_parameters(self.on_dead, f"on_dead of task {name} takes the job and its error", "job", "error")
        keep = options.keep_result
        self.keeps_result = keep is not False
        self.keep_result_for = None if isinstance(keep, bool) else to_duration(keep, "keep_result")
        self.signature = Signature(function, name)
        if self.isolate:
            check_isolated(function, name)
        self.unique = check_unique(options.unique, name, self.signature.names)
        self.schedules = check_rules(options.schedule)
        for rule in self.schedules:
            check_scheduled(self.signature, rule)
        self.limits = check_limits(options, name, self.signature)
        self.fair_key = make_fair_key(options.fair_key)
        if self.fair_key is not None:
            self.fair_key.check_names(name, self.signature.names)
        self.blueprint: object | None = None
        """Where it was declared, if not on an app."""
        self._enqueuer: Enqueuer | None = None

    @property
    def origin(self) -> tuple[str, str]:
        """The module and qualified name of the function. For the app."""
        return self.function.__module__, self.function.__qualname__

    def check_free(self, enqueuer: Enqueuer) -> None:
        """Check that the task belongs to no other app. For the app.

        :raises ConfigurationError: otherwise.
        """
        if self._enqueuer is not None and self._enqueuer is not enqueuer:
            raise ConfigurationError(f"task {self.name} belongs to another app already")

    def bind_to(self, enqueuer: Enqueuer) -> None:
        """Connect the task with an app. For the app."""
        self._enqueuer = enqueuer

    @property
    def enqueuer(self) -> Enqueuer:
        """The app's way to the store. For the app.

        :raises NotIncluded: if no app has included the task's blueprint.
        """
        if self._enqueuer is None:
            raise NotIncluded(
                f"task {self.name} belongs to a blueprint that no app includes yet: add the line {self._include_line()}"
            )
        return self._enqueuer

    def is_limited(self, queue: str) -> bool:
        """Whether its jobs in this queue wait for a limit, or take turns by a fair key. For the worker."""
        return bool(self.limits or self.fair_key is not None or self.enqueuer.limits_of(queue))

    def lane_of(self, queue: str, arguments: Mapping[str, Any]) -> str | None:
        """Where a call with these validated arguments waits for its limits; ``None`` if it has none. For the worker."""
        if not self.is_limited(queue):
            return None
        limits = (*((self.name, limit) for limit in self.limits), *self.enqueuer.limits_of(queue))
        return make_lane(queue, self.name, limits, self.fair_key, self.signature.complete(arguments))

    def _include_line(self) -> str:
        module = sys.modules.get(self.function.__module__)
        for name, value in vars(module).items() if module is not None else ():
            if value is self.blueprint:
                return f"app.include({name}), with {name} from {self.function.__module__}"
        return f"app.include(...) with the blueprint of {self.function.__module__}"

    def enqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Store a call of this task. When it returns, the job survives a power cut.

        :raises InvalidArguments: if the arguments do not fit the signature; nothing is stored.
        :raises InvalidPayload: if they cannot be stored as JSON or are too large.
        :raises EngineUnavailable: if the store does not answer in time.
        """
        return BoundTask(self).enqueue(*args, **kwargs)

    async def aenqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """``enqueue`` for async code."""
        return await BoundTask(self).aenqueue(*args, **kwargs)

    def new(self, /, *args: P.args, **kwargs: P.kwargs) -> NewJob[R]:
        """A validated call that is not stored yet, for ``app.enqueue_many`` and workflows.

        :raises InvalidArguments: if the arguments do not fit the signature.
        :raises InvalidPayload: if they cannot be stored as JSON or are too large.
        """
        return BoundTask(self).new(*args, **kwargs)

    def map(
        self: TakesItems[T, Others],
        items: Iterable[T],
        /,
        chunk: int = 1000,
        name: str | None = None,
        tx: object | None = None,
        *args: Others.args,
        **others: Others.kwargs,
    ) -> int:
        """Fan large work out: each job gets a list of items as this task's first argument. The id of their workflow, by
        which they are followed, waited for, cancelled and replayed together.

        The items are streamed, and no job runs before all are stored. Give everything but the items by name.

        :param chunk: how many items a job gets at most.
        :param name: of the workflow; the task's name by default.
        :param tx: as for ``using(tx=)``.
        :param others: the task's other arguments, the same for each job.
        :raises InvalidArguments: if one of the jobs does not fit the signature; none is stored.

        ::

            flow = import_rows.map(rows, chunk=1000, tenant_id=7)
            app.workflows.wait_ended(flow)
        """
        task = cast("Task[Any, Any]", self)
        jobs = (task._of_items(part, args, others) for part in chunks(items, chunk))
        return task.enqueuer.store_map(jobs, name or task.name, tx)

    async def amap(
        self: TakesItems[T, Others],
        items: Iterable[T] | AsyncIterable[T],
        /,
        chunk: int = 1000,
        name: str | None = None,
        tx: object | None = None,
        *args: Others.args,
        **others: Others.kwargs,
    ) -> int:
        """``map`` for async code; also takes an async iterable."""
        task = cast("Task[Any, Any]", self)
        jobs = (task._of_items(part, args, others) async for part in achunks(items, chunk))
        return await task.enqueuer.astore_map(jobs, name or task.name, tx)

    def _of_items(self, part: list[Any], args: tuple[Any, ...], others: Mapping[str, Any]) -> NewJob[R]:
        if not self.signature.names:
            raise ConfigurationError(f"task {self.name} takes no arguments, so it cannot be given items")
        try:
            return BoundTask(self)._new((part, *args), others)
        except InvalidArguments as error:
            raise InvalidArguments(f"{error}; map() gives the first argument a list of items") from error

    def using(
        self,
        *,
        delay: Duration | None = None,
        at: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        retry: Retry | None = None,
        timeout: Duration | None = None,
        expires: Duration | datetime | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        tx: object | None = None,
    ) -> "BoundTask[P, R]":
        """This task with options for single jobs.

        :param delay: seconds or ``timedelta`` from now.
        :param at: an aware datetime; not together with ``delay``.
        :param priority: larger runs first; like ``queue``, ``retry`` and ``timeout``, instead of the task's own.
        :param expires: seconds or ``timedelta`` from now, or an aware datetime: a job that no worker has taken by then
            is cancelled. One that has begun in time goes on, through all its attempts.
        :param tags: short texts to find jobs by.
        :param metadata: JSON values kept with the job, not passed to the function.
        :param idempotency_key: of a request that may be repeated: while the job lives, and for a day, another call
            of this task with the same key returns that job (``job.created`` is false).
        :param tx: the caller's own connection or session: the job exists if and only if its transaction commits.
        :raises ConfigurationError: for an option that no job can have.

        ::

            send_confirmation.using(delay=3600, tags=["vip"]).enqueue(to="ada@example.com", order_id=7)
        """
        if delay is not None and at is not None:
            raise ConfigurationError("using() takes delay= or at=, not both")
        if isinstance(tags, str):
            raise ConfigurationError(f"tags is a list of texts, not {tags!r}")
        if metadata is not None and not isinstance(metadata, Mapping):
            raise ConfigurationError(f"metadata is a dict of JSON values, not {metadata!r}")
        options: dict[str, Any] = {
            "delay": 0 if delay is None else to_duration(delay, "delay"),
            "at": None if at is None else to_moment(at),
            "priority": self.priority if priority is None else check_priority(priority),
            "queue": self.queue if queue is None else check_text(queue, "a queue's name"),
            "retry": _stored_policy(retry),
            "timeout": None if timeout is None else check_timeout(timeout),
            "tags": encode([check_text(tag, "a tag") for tag in tags], what="tags") if tags else None,
            "metadata": encode(dict(metadata), what="metadata") if metadata else None,
        }
        if expires is not None:
            options |= expiry_options(expires, options["delay"], options["at"])
        if idempotency_key is not None:
            if self.unique is not None:
                raise ConfigurationError(
                    f"task {self.name} is unique by its own key and takes no idempotency_key=: leave one of the two "
                    "away; for how long a key is held is said by Unique(..., within=)"
                )
            key = check_text(idempotency_key, "an idempotency key")
            options["unique_key"], options["unique_rule"] = idempotency_rule(self.name, key)
        return BoundTask(self, options, tx)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class AsyncTask(Task[P, R]):
    """A task on ``async def``: runs on the worker's event loop."""

    is_async = True

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        return cast("Coroutine[Any, Any, R]", _plain_call(self, args, kwargs))


class SyncTask(Task[P, R]):
    """A task on ``def``: runs in a thread of the worker, or with ``isolate=True`` in a process of its own."""

    is_async = False

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast("R", _plain_call(self, args, kwargs))


class BoundTask(Generic[P, R]):
    """A task with options for single jobs, made by ``task.using(...)``."""

    __slots__ = ("_options", "_task", "_tx")

    def __init__(self, task: Task[P, R], options: dict[str, Any] | None = None, tx: object | None = None) -> None:
        self._task = task
        self._options = options
        self._tx = tx

    def enqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Store a call of the task; see ``Task.enqueue``."""
        return self._task.enqueuer.enqueue(self._new(args, kwargs), self._tx)

    async def aenqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """``enqueue`` for async code."""
        return await self._task.enqueuer.aenqueue(self._new(args, kwargs), self._tx)

    def new(self, /, *args: P.args, **kwargs: P.kwargs) -> NewJob[R]:
        """A validated call that is not stored yet, for ``app.enqueue_many``."""
        if self._tx is not None:
            raise ConfigurationError("new() stores nothing, so it takes no tx=; give tx= to app.enqueue_many")
        try:
            return self._new(args, kwargs)
        except (InvalidArguments, InvalidPayload):
            # Looked for only where something is wrong anyway: a call without placeholders pays nothing.
            if contains_placeholder(args) or contains_placeholder(kwargs):
                return self._new_partly(args, kwargs)
            raise

    def _new(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> NewJob[R]:
        return self.new_validated(self._task.signature.bind(args, kwargs))

    def _new_partly(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> NewJob[R]:
        """A call with arguments that are results of jobs that have not run yet."""
        signature = self._task.signature
        if self._task.unique is not None:
            raise ConfigurationError(f"task {self._task.name} is unique by its arguments, which cannot be results")
        arguments, later = signature.bind_partly(args, kwargs, contains_placeholder)
        templates = {name: template_of(value, signature.simplify) for name, value in later.items()}
        return self.new_validated(arguments, templates)

    def new_validated(self, arguments: Mapping[str, Any], results: Mapping[str, Any] | None = None) -> NewJob[R]:
        """``new`` for arguments that the signature has validated already. For the app.

        :param results: templates of the arguments that are made of other jobs' results.
        """
        task = self._task
        payload = task.signature.dump(arguments, task.enqueuer.max_payload)
        if self._options is None:
            new: NewJob[R] = NewJob(task.name, task.queue, payload, task.priority)
        else:
            new = NewJob(task=task.name, args=payload, **self._options)
        if results:
            new = new._replace(results=results)  # its keys are not known yet: its worker puts it in its lane
        elif (lane := task.lane_of(new.queue, arguments)) is not None:
            new = new._replace(lane=lane)
        if task.unique is None:
            return new
        return new._replace(
            unique_key=task.unique.key_of(task.name, task.signature.complete(arguments)),
            unique_rule=task.unique.rule(),
            delay=max(new.delay, task.unique.delay),
        )


def make_task(function: Callable[..., Any], prefix: str, options: TaskOptions) -> Task[Any, Any]:
    """The task of a function.

    :raises ConfigurationError: if the function or an option cannot be a task's.
    """
    if isinstance(function, Task):
        raise ConfigurationError(f"@task belongs on a function, not on {function!r}")
    check_function(function, "@task")
    name = options.name or prefix + function.__name__
    kind = AsyncTask if iscoroutinefunction(function) else SyncTask
    return kind(function, name, options)


def _plain_call(task: Task[Any, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    if not task.signature.takes_context or (args and isinstance(args[0], JobContext)):
        return task.function(*args, **kwargs)
    try:
        context = current_job()
    except TurnspitError:
        context = JobContext.detached(task.name)
    return task.function(context, *args, **kwargs)


def _stored_policy(retry: Retry | None) -> str | None:
    return None if (policy := check_retry(retry)) is None else policy.to_json()
