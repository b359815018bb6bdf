"""Tasks whose handler, a coroutine or a plain function, gets many jobs in one call, and answers for each.

::

    @app.batch_task(size=100, wait=2.0)
    async def index(batch: Batch[Document]) -> None:
        found = await search.bulk_index([item.value for item in batch])
        for item, answer in zip(batch, found):
            if answer.error:
                item.fail(IndexFailed(answer.error))

    index.enqueue(document)
"""

import typing
from collections.abc import Callable, Sequence
from functools import update_wrapper
from inspect import iscoroutinefunction, signature
from typing import Any, Generic, ParamSpec, TypeVar, get_args, get_origin

from turnspit.clock import Duration, to_seconds
from turnspit.context import JobContext
from turnspit.errors import ConfigurationError, TurnspitError
from turnspit.signatures import check_function
from turnspit.task_options import TaskOptions
from turnspit.tasks import Task

__all__ = ["Batch", "BatchItem", "BatchTask", "make_batch_task"]

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")

_UNANSWERED = object()
_LARGEST = 10_000


class BatchItem(Generic[T]):
    """One job of a batch."""

    __slots__ = ("_error", "_result", "job", "value")

    def __init__(self, job: JobContext, value: T) -> None:
        self.job = job
        """Its context: id, attempt, metadata, progress, and whether it was told to stop."""
        self.value = value
        """What it was enqueued with."""
        self._result: Any = _UNANSWERED
        self._error: BaseException | None = None

    def complete(self, result: Any = None) -> None:
        """This job is done, with this result. One that nobody answers for is done when the handler returns."""
        self._check()
        self._result = result

    def fail(self, error: BaseException) -> None:
        """This job failed, as if its own function had raised this: its retry policy decides, or ``Snooze``, ``GiveUp``,
        ``Cancel`` and ``RetryAfter`` do.
        """
        if not isinstance(error, BaseException):
            raise TurnspitError(f"fail() takes an exception, not {error!r}")
        self._check()
        self._error = error

    def _check(self) -> None:
        if self.is_answered:
            raise TurnspitError(f"job {self.job.id} of the batch was answered for already")

    @property
    def is_answered(self) -> bool:
        """Whether ``complete`` or ``fail`` was called."""
        return self._error is not None or self._result is not _UNANSWERED

    def answer(self) -> Any:
        """Its result; raises its error. For the worker."""
        if self._error is not None:
            # Not kept: in its traceback is the handler, which knows this item.
            error, self._error, self._result = self._error, None, None
            raise error
        return None if self._result is _UNANSWERED else self._result

    def __repr__(self) -> str:
        return f"<BatchItem job={self.job.id} {self.value!r}>"


class Batch(Sequence[BatchItem[T]]):
    """The jobs of one call."""

    def __init__(self, items: Sequence[BatchItem[T]]) -> None:
        self._items = tuple(items)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, place: Any) -> Any:
        return self._items[place]

    @property
    def values(self) -> list[T]:
        """What each was enqueued with."""
        return [item.value for item in self._items]


class BatchTask(Task[P, R]):
    """A task whose handler gets up to ``size`` jobs, collected for up to ``wait``. One on a plain ``def`` runs in a
    thread.
    """

    def __init__(
        self, function: Callable[..., Any], name: str, options: TaskOptions, size: int, wait: Duration
    ) -> None:
        if not isinstance(size, int) or not 1 <= size <= _LARGEST:
            raise ConfigurationError(f"batch task {name}: size is from 1 to {_LARGEST:,}, not {size!r}")
        self.size = size
        self.wait = to_seconds(wait, "wait")
        self.handler = function
        self.is_async = iscoroutinefunction(function)
        super().__init__(_item_function(function, name), name, options)
        update_wrapper(typing.cast("Any", self), function)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the handler itself, with a ``Batch``."""
        return self.handler(*args, **kwargs)


def _item_function(handler: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A function of one job's argument: its signature is that of a single enqueue."""
    try:
        hints = typing.get_type_hints(handler, include_extras=True)
    except (NameError, SyntaxError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"batch task {name}: an annotation cannot be resolved: {error}") from error
    names = list(signature(handler).parameters)
    kind = hints.get(names[0]) if len(names) == 1 else None
    if kind is not Batch and get_origin(kind) is not Batch:
        raise ConfigurationError(
            f"batch task {name}: its handler takes one argument, as in def {handler.__name__}(batch: Batch[int])"
        )
    [item_type] = get_args(kind) or (Any,)

    async def item(item: Any) -> Any:
        raise AssertionError("a batch task's jobs are run together")

    item.__annotations__ = {"item": item_type, "return": Any}
    item.__module__, item.__qualname__ = handler.__module__, handler.__qualname__
    item.__name__, item.__doc__ = handler.__name__, handler.__doc__
    return item


def make_batch_task(
    function: Callable[..., Any], prefix: str, options: TaskOptions, size: int, wait: Duration
) -> BatchTask[Any, Any]:
    """The batch task of a handler.

    :raises ConfigurationError: if the handler or an option cannot be a batch task's.
    """
    check_function(function, "@batch_task")
    return BatchTask(function, options.name or prefix + function.__name__, options, size, wait)
