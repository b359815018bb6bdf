"""Turnspit behind ``django.tasks``; before Django 6.0, behind its backport ``django_tasks``.

::

    TASKS = {
        "default": {"BACKEND": "turnspit.contrib.django.task_backend.TurnspitBackend"},
        "emails": {
            "BACKEND": "turnspit.contrib.django.task_backend.TurnspitBackend",
            "OPTIONS": {"retry": Retry(attempts=3), "timeout": 30},
        },
    }
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import update_wrapper
from inspect import Parameter, iscoroutinefunction
from typing import Any

from asgiref.sync import sync_to_async
from django.apps import apps
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from turnspit import (
    Blueprint,
    ConfigurationError,
    EngineUnavailable,
    Event,
    GiveUp,
    InvalidPayload,
    JobNotFound,
    Snooze,
    Turnspit,
    current_job,
)
from turnspit._runtime.worker.failures import is_ours
from turnspit.contrib.django.declared_tasks import (
    CallSignature,
    DeclaredTask,
    blueprint,
    declared,
    listeners,
    takes_by_name,
)
from turnspit.contrib.django.lending import alent, close_old_connections, connections_of_test
from turnspit.contrib.django.settings import read_settings
from turnspit.contrib.django.task_framework import (
    BaseTaskBackend,
    InvalidTask,
    InvalidTaskBackend,
    TaskContext,
    TaskResultDoesNotExist,
    TaskResultStatus,
    is_heard,
    normalize_json,
    task_enqueued,
    task_finished,
    task_started,
)
from turnspit.contrib.django.task_results import brief_result, metadata_of, result_of
from turnspit.signatures import check_function

__all__ = ["ResultNotJson", "TurnspitBackend"]

_OPTIONS = ("retry", "timeout", "isolate", "keep_result", "unique", "rate", "concurrency", "fair_key", "on_dead")
_checked: dict[str, Mapping[str, Any]] = {}
"""The options of each alias that are right: Django makes a back end for each request and each job that asks for one."""
_NOT_INSTALLED = 'TASKS names Turnspit\'s back end, but "turnspit.contrib.django" is not among the INSTALLED_APPS'


class ResultNotJson(GiveUp, TypeError):
    """A task returned what Django does not keep. Its work is done, so that no other attempt does it again."""


class TurnspitBackend(BaseTaskBackend):
    """Keeps what is enqueued as jobs of the project's app. ``OPTIONS`` are those of ``@app.task``, for each task.

    :raises InvalidTaskBackend: for an option that no task can have.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: Mapping[str, Any]) -> None:
        super().__init__(alias, params)
        if _checked.get(alias) == self.options:
            return
        try:
            _check_options(self.options)
        except (ConfigurationError, ValueError) as error:
            raise InvalidTaskBackend(f"TASKS[{alias!r}]['OPTIONS']: {error}") from error
        _checked[alias] = self.options

    def check(self, **_: Any) -> Iterator[CheckMessage]:
        """What ``manage.py check`` says."""
        if not apps.is_installed("turnspit.contrib.django"):
            hint = 'Add it, and TURNSPIT = {"APP": "shop.jobs.app"}, with app = Turnspit() in shop/jobs.py.'
            yield Error(f"{_NOT_INSTALLED}.", hint=hint, id="turnspit.E001")

    def validate_task(self, task: Any) -> None:
        """Check a task, and at its declaration make it one of the app's.

        :raises InvalidTask: if it cannot be one.
        """
        super().validate_task(task)
        known = declared.get(task.module_path)
        if known is not None and known.is_of(task) and known.options == self.options:
            return
        if known is not None and known.is_of(task) and known.task.backend != self.alias:
            raise InvalidTask(
                f"{task.module_path} is declared with TASKS[{known.task.backend!r}], and OPTIONS are those of a whole "
                f"task: for those of TASKS[{self.alias!r}], declare it with @task(backend={self.alias!r})"
            )
        signature = CallSignature(task.func, takes_context=task.takes_context)
        options = {"name": task.module_path, "queue": task.queue_name, "priority": int(task.priority), **self.options}
        try:
            check_function(task.func, "@task")
            blueprint.task(**options)(_by_name(task, signature))
        except (ConfigurationError, InvalidPayload) as error:
            raise InvalidTask(f"{error} (with the OPTIONS of TASKS[{self.alias!r}])") from error
        declared[task.module_path] = DeclaredTask(task, self.options, signature)

    def enqueue(self, task: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Store a job, as a part of the ``atomic()`` around it.

        :raises TypeError: if the function does not take these arguments, or they are of types that JSON has not.
        :raises InvalidPayload: if they cannot be stored, as NaN, or are too large.
        """
        self.validate_task(task)
        _find_app()
        at = task.run_after
        if at is not None and timezone.is_naive(at):
            at = timezone.make_aware(at, timezone.get_default_timezone())
        bound = blueprint.tasks[task.module_path].using(
            at=at,
            priority=int(task.priority),
            queue=task.queue_name,
            metadata=metadata_of(task, len(args)),
        )
        arguments = declared[task.module_path].signature.by_name(args, kwargs)
        job = bound.enqueue(**normalize_json(arguments))
        result = result_of(job)
        if job.created:  # else a unique task has found the job that holds its key
            task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """The result of a job, as it is now.

        :raises TaskResultDoesNotExist: if there is no such job, or its task was not declared with ``django.tasks``.
        """
        try:
            job = _find_app().jobs.get(int(result_id))
        except (JobNotFound, TypeError, ValueError):
            raise TaskResultDoesNotExist(result_id) from None
        if job.task not in declared or str(job.id) != str(result_id):
            raise TaskResultDoesNotExist(result_id)
        return result_of(job)


def _find_app() -> Turnspit:
    if not apps.is_installed("turnspit.contrib.django"):
        raise ImproperlyConfigured(_NOT_INSTALLED)
    return read_settings().load_app()


def _check_options(options: Mapping[str, Any]) -> None:
    """Declare a task with them that has every argument of which they make keys."""
    unknown = options.keys() - _OPTIONS
    if unknown:
        raise ConfigurationError(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(_OPTIONS)}")

    def any_task(**_: Any) -> None: ...

    any_task.__qualname__ = any_task.__name__  # as one at the top of its module, which isolate= asks for
    keys = [getattr(option, "key", option) for option in options.values()]
    names = {name for key in keys if isinstance(key, Sequence) for name in ([key] if isinstance(key, str) else key)}
    takes_by_name(any_task, [Parameter(name, Parameter.KEYWORD_ONLY) for name in names])
    Blueprint("options").task(**options)(any_task)


def _by_name(task: Any, signature: CallSignature) -> Callable[..., Any]:
    """The function that the worker runs, which takes the arguments by name."""

    def run(**arguments: Any) -> Any:
        result = _begin() if is_asked_for() else _begin_briefly(task)
        args, kwargs = signature.call(arguments)
        return _as_json(task, task.func(*context(result), *args, **kwargs))

    async def run_async(**arguments: Any) -> Any:
        result = await sync_to_async(_begin)() if is_asked_for() else _begin_briefly(task)
        args, kwargs = signature.call(arguments)
        return _as_json(task, await task.func(*context(result), *args, **kwargs))

    def is_asked_for() -> bool:
        return task.takes_context or is_heard(task_started)

    def context(result: Any) -> tuple[Any, ...]:
        return (TaskContext(task_result=result),) if task.takes_context else ()

    function = run_async if iscoroutinefunction(task.func) else run
    update_wrapper(function, task.func, ("__module__", "__name__", "__qualname__", "__doc__"), ())
    takes_by_name(function, signature.parameters)
    return function


def _begin() -> Any:
    """Tell of the attempt that begins here, and return its result."""
    try:
        result = result_of(_find_app().jobs.get(current_job().id))
    except EngineUnavailable as error:
        raise Snooze(1) from error  # the function was not called yet: that costs no attempt
    task_started.send_robust(type(result.task.get_backend()), task_result=result)
    return result


def _begin_briefly(task: Any) -> Any:
    """``_begin`` where nobody looks at what only the store knows."""
    result = brief_result(current_job().id, task, TaskResultStatus.RUNNING)
    task_started.send_robust(TurnspitBackend, task_result=result)
    return result


def _as_json(task: Any, value: Any) -> Any:
    """What a function returned, as Django keeps it.

    :raises ResultNotJson: if it cannot be kept.
    """
    kept = blueprint.tasks[task.module_path]
    if not kept.keeps_result:
        return value
    try:
        result = normalize_json(value)
        kept.signature.dump_result(result, _find_app().max_result)
    except (InvalidPayload, RecursionError, TypeError, ValueError) as error:
        raise ResultNotJson(f"the result of {task.module_path} cannot be kept: {error}") from error
    return result


@listeners.append
async def _tell_finished(event: Event) -> None:
    found = declared.get(event.task)
    if found is None:
        return
    if event.name == "completed" and not is_heard(task_finished):
        result = brief_result(event.job_id, found.task, TaskResultStatus.SUCCESSFUL)
        task_finished.send_robust(TurnspitBackend, task_result=result)
        return
    async with alent(connections_of_test()):
        await sync_to_async(_send_finished)(event)


def _send_finished(event: Event) -> None:
    close_old_connections()
    try:
        result = result_of(_find_app().jobs.get(event.job_id))
        _send_where_raised(event.error, type(result.task.get_backend()), result)
    except JobNotFound:
        return  # somebody has deleted it meanwhile
    finally:
        close_old_connections()


def _send_where_raised(error: BaseException | None, sender: type, result: Any) -> None:
    """Send it inside an exception handler, where Django's own receiver, which logs the error, looks for it."""
    if error is None:
        task_finished.send_robust(sender, task_result=result)
        return
    whole = trace = error.__traceback__
    while trace is not None and is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    try:
        raise error.with_traceback(trace)
    except BaseException:
        task_finished.send_robust(sender, task_result=result)
    finally:
        error.__traceback__ = whole
