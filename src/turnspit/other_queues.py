"""Words of other queues: who writes one by habit reads in the error what to write here.

Type checkers know none of them, so that a wrong one is an error in the editor, too.
"""

from collections.abc import Iterable
from typing import Any, NoReturn

__all__ = ["TellsWhatToWrite", "tell_option", "tell_using"]

_ENQUEUE = "enqueue(...), or await aenqueue(...) in async code"
_USING = "using(delay=60, queue=...).enqueue(...), or await using(...).aenqueue(...) in async code"
_NEW = "new(...), which app.workflow(...), app.chain(...) and app.enqueue_many(...) take"
_RESULT = "get_result(timeout=10), or await aget_result(timeout=10) in async code"
_STATE = "refresh().state, or refresh().state.is_final"
_RETRY = "retry=Retry(attempts=4, on=(ConnectionError,), base=1.0)"
_SCHEDULE = "schedule=Cron(...) in @app.task, or app.schedules.create(...)"
_CONTEXT = "job: JobContext as the function's first parameter"
_PROGRESS = "progress(0.5, data={...})"

_ATTRIBUTES = {
    "Task": {
        "delay": _ENQUEUE,
        "send": _ENQUEUE,
        "defer": _ENQUEUE,
        "kiq": _ENQUEUE,
        "apply_async": _USING,
        "send_with_options": _USING,
        "configure": _USING,
        "delay_on_commit": "using(tx=...).enqueue(...), or just enqueue(...) inside Django's atomic()",
        "s": _NEW,
        "si": _NEW,
        "message": _NEW,
        "chunks": "map(items, chunk=100)",
        "apply": "a plain call of the task, which runs its function here and now",
    },
    "Job": {
        "get": _RESULT,
        "result": _RESULT,
        "return_value": _RESULT,
        "ready": _STATE,
        "status": _STATE,
        "get_status": _STATE,
        "traceback": "refresh().attempts[-1].traceback",
        "revoke": "app.jobs.cancel(job.id)",
        "cancel": "app.jobs.cancel(job.id)",
        "meta": "metadata",
    },
    "JobContext": {
        "retry": "raise RetryAfter(60), or raise Snooze(60), which costs no attempt",
        "request": "the job itself, as in job.id and job.attempt",
        "update_state": _PROGRESS,
        "meta": _PROGRESS,
    },
    "Turnspit": {
        "send_task": "@app.task(name=...) on a function without code, and enqueue that",
        "enqueue": "task.enqueue(...), or app.enqueue_many(...)",
        "actor": "@app.task",
        "autodiscover_tasks": "discover(...) with the name of a package",
        "add_periodic_task": _SCHEDULE,
        "periodic": _SCHEDULE,
        "group": "workflow(...), or task.map(items)",
        "chord": "workflow(...)",
        "conf": "options of Turnspit(...) and of @app.task(...)",
        "control": "app.workers, app.queues, app.limits or app.jobs",
        "AsyncResult": "app.jobs.get(id)",
    },
}

_OPTIONS = {
    "bind": _CONTEXT,
    "pass_context": _CONTEXT,
    "autoretry_for": _RETRY,
    "retry_backoff": _RETRY,
    "max_retries": _RETRY,
    "default_retry_delay": _RETRY,
    "time_limit": "timeout=60",
    "soft_time_limit": "timeout=60",
    "rate_limit": "rate=Rate(10, per=60)",
    "acks_late": "nothing: the jobs of a worker that died always run again",
    "ignore_result": "keep_result=False",
    "queue_name": "queue=...",
    "cron": "schedule=Cron(...)",
}

_OF_USING = frozenset({
    *("delay", "at", "priority", "queue", "retry", "timeout", "expires", "tags", "metadata", "idempotency_key", "tx"),
    *("countdown", "eta"),
})  # fmt: skip


class TellsWhatToWrite:
    """A class whose name other queues have, too: an attribute that it has only there says what to write here."""

    __slots__ = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, instead in _ATTRIBUTES.get(cls.__name__, {}).items():
            if hasattr(cls, name):
                raise TypeError(f"{cls.__name__} has {name}: it is no word of other queues alone")
            setattr(cls, name, _Missing(name, instead))


class _Missing:
    """An attribute that is not there. (A ``__getattr__`` would make every other attribute three times as slow.)"""

    def __init__(self, name: str, instead: str) -> None:
        self._name = name
        self._instead = instead

    def __get__(self, instance: object, owner: type) -> NoReturn:
        message = f"{owner.__name__!r} object has no attribute {self._name!r}: write {self._instead}"
        raise AttributeError(message, name=self._name, obj=instance)


def tell_option(names: Iterable[str]) -> str:
    """The end of a message about options that ``@task`` does not have: what to write for those of other queues."""
    return "".join(f"; for {name} write {_OPTIONS[name]}" for name in sorted(names) if name in _OPTIONS)


def tell_using(task: str, names: Iterable[str]) -> str:
    """The end of a message about arguments that a task does not take: where those belong that are a job's options."""
    if _OF_USING.isdisjoint(names):
        return ""
    return f"; a job's options belong into using(), as in {task}.using(delay=60).enqueue(...)"
