"""The options of a task, and the checks of what a declaration gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from inspect import iscoroutinefunction
from typing import Any

from turnspit.clock import Duration, to_duration, to_moment
from turnspit.context import JobContext
from turnspit.errors import ConfigurationError, InvalidArguments
from turnspit.keys import Key
from turnspit.limits import Concurrency, Limit, Rate
from turnspit.retries import Retry
from turnspit.schedules import Rule
from turnspit.signatures import Signature, check_parameters
from turnspit.uniqueness import Debounce, Unique

__all__ = [
    "TaskOptions",
    "check_limits",
    "check_priority",
    "check_retry",
    "check_scheduled",
    "check_timeout",
    "expiry_options",
]

PRIORITY_RANGE = range(-32768, 32768)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """How a task's jobs are run. Durations are seconds or ``timedelta``.

    :param name: the stored name; keep it when the function is renamed. Default: the function's name.
    :param aliases: names of stored jobs that this task also runs.
    :param queue: where its jobs wait.
    :param priority: larger runs first inside a queue; -32768 to 32767.
    :param retry: when a failed attempt is tried again; default: the app's.
    :param timeout: how long one attempt may take; default: the app's, one hour.
    :param isolate: run a plain function in a process of its own, which is killed after its time-out or when its job is
        cancelled, and whose death is that attempt's alone.
    :param keep_result: ``False`` stores no result; a duration keeps it that long; ``True`` as long as the job.
    :param unique: which of its jobs exclude each other: ``Unique(...)`` or ``Debounce(...)``.
    :param schedule: when it runs by itself: ``Cron(...)``, ``Every(...)`` or a list of them.
    :param rate: how many of its jobs begin in a time, over all workers: ``Rate(10, per=1.0)``.
    :param concurrency: how many of its jobs run at a time, over all workers: ``Concurrency(5)``.
    :param fair_key: names of arguments, or a function of them: jobs with different values take turns.
    :param upgrade: turns an old payload (a dict) that no longer fits the signature into one that does.
    :param on_dead: called in the worker with the job's context and its last error when a job becomes a dead letter.
    """

    name: str | None = None
    aliases: Sequence[str] = ()
    queue: str = "default"
    priority: int = 0
    retry: Retry | None = None
    timeout: Duration | None = None
    isolate: bool = False
    keep_result: bool | Duration = True
    unique: Unique | Debounce | None = None
    schedule: Rule | Sequence[Rule] | None = None
    rate: Rate | None = None
    concurrency: Concurrency | None = None
    fair_key: Key = None
    upgrade: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    on_dead: Callable[[JobContext, BaseException], Any] | None = None


def check_priority(priority: int) -> int:
    """``priority`` if a job can have it.

    :raises ConfigurationError: otherwise.
    """
    if not isinstance(priority, int) or isinstance(priority, bool) or priority not in PRIORITY_RANGE:
        raise ConfigurationError(f"priority is a whole number from -32768 to 32767, not {priority!r}")
    return int(priority)


def check_retry(retry: Retry | None) -> Retry | None:
    """``retry`` if it is a policy whose function, if it has one, can be called.

    :raises ConfigurationError: otherwise.
    """
    if retry is not None and not isinstance(retry, Retry):
        raise ConfigurationError(f"retry takes a Retry, as in Retry(attempts=3), not {retry!r}")
    if retry is not None and callable(retry.delay):
        check_parameters(retry.delay, "Retry(delay=) takes the attempt and its error", "attempt", "error")
        if iscoroutinefunction(retry.delay):
            raise ConfigurationError("Retry(delay=) takes a plain function, not async def: nobody awaits it")
    return retry


def check_scheduled(signature: Signature, rule: Rule) -> None:
    """Check that a schedule gives its task every argument that it needs.

    :raises ConfigurationError: otherwise.
    """
    try:
        signature.bind((), rule.args)
    except InvalidArguments as error:
        raise ConfigurationError(f"the schedule {rule} of {error}: give the task's arguments as args={{...}}") from None


def check_limits(options: TaskOptions, name: str, signature: Signature) -> tuple[Limit, ...]:
    """The limits among a task's options.

    :raises ConfigurationError: if one is something else, or its key names an argument that the task does not take.
    """
    limits: list[Limit] = []
    for limit, kind in ((options.rate, Rate), (options.concurrency, Concurrency)):
        if limit is None:
            continue
        if not isinstance(limit, kind):
            raise ConfigurationError(f"{kind.what} takes {kind.__name__}(...), not {limit!r}")
        limit.check_names(name, signature.names)
        limits.append(limit)
    return tuple(limits)


def check_timeout(timeout: Duration) -> int:
    """A time-out as microseconds.

    :raises ConfigurationError: if it is not a duration, or is 0.
    """
    duration = to_duration(timeout, "timeout")
    if not duration:
        raise ConfigurationError(f"timeout must be more than 0 seconds, not {timeout!r}")
    return duration


def expiry_options(expires: Duration | datetime, delay: int, at: int | None) -> dict[str, int]:
    """When a job expires, as the fields of ``NewJob`` say it.

    :param delay: microseconds until the job is due.
    :param at: the moment when it is due, if it has one.
    :raises ConfigurationError: if it would expire before it is due.
    """
    if isinstance(expires, datetime):
        until = to_moment(expires, "expires")
        if at is not None and until <= at:
            raise ConfigurationError(f"a job that is due at= a moment expires later than that, not at {expires}")
        return {"expires_at": until}
    span = to_duration(expires, "expires")
    if span <= delay:
        raise ConfigurationError("expires counts from now, as delay does: it is longer than delay, and more than 0")
    return {"expires_in": span}
