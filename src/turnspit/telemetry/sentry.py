"""Errors of jobs for Sentry, with what their job is.

::

    import sentry_sdk
    from turnspit.telemetry.sentry import report_errors

    sentry_sdk.init(dsn=...)
    report_errors(app)        # where the app is made, before other middleware

Whatever has the same functions as ``sentry_sdk`` 2 can be given instead.
"""

import importlib
from contextlib import AbstractContextManager
from typing import Any, Protocol

from turnspit.app import Turnspit
from turnspit.codec import decode
from turnspit.context import JobContext, claim_of
from turnspit.errors import ConfigurationError
from turnspit.events import Event
from turnspit.hooks import CallNext

__all__ = ["ErrorTracker", "report_errors"]

_SCOPE = "_turnspit_scope"


class ErrorTracker(Protocol):
    """The part of ``sentry_sdk`` that is used."""

    def isolation_scope(self) -> AbstractContextManager[Any]:
        """A fresh scope for a piece of work, in which breadcrumbs and tags stay."""
        ...

    def capture_exception(self, error: BaseException | None = None, *, scope: Any = None) -> Any:
        """Report an exception, with what a scope knows."""
        ...

    def capture_message(self, message: str, *, scope: Any = None) -> Any:
        """Report a text."""
        ...


def report_errors(
    app: Turnspit, sdk: ErrorTracker | None = None, *, retried: bool = True, arguments: bool = False
) -> None:
    """Report each failed attempt with its job: as an error if the job is dead now, as a warning if it will be retried.
    Outcomes that are raised (``Snooze``, ``Cancel``) are no failures.

    The worker that ran the attempt reports it at most once, after its end was stored: a worker that is killed in
    between does not report. The dead letter is in the store all the same.

    :param sdk: ``sentry_sdk`` by default.
    :param retried: whether attempts that are tried again are reported too.
    :param arguments: whether the report has the job's arguments, which may be personal.
    :raises ConfigurationError: without ``sentry_sdk``.
    """
    reports = _Reports(_import_sdk() if sdk is None else sdk, arguments=arguments)
    app.middleware(reports.run)
    app.on("dead")(reports.report)
    if retried:
        app.on("failed")(reports.report)


class _Reports:
    def __init__(self, sdk: ErrorTracker, *, arguments: bool) -> None:
        self._sdk = sdk
        self._arguments = arguments

    async def run(self, job: JobContext, call_next: CallNext) -> Any:
        """Middleware: each attempt has a scope of its own, and an exception carries its attempt's scope."""
        with self._sdk.isolation_scope() as scope:
            _describe(scope, job.task, job.queue, self._about(job))
            try:
                return await call_next(job)
            except BaseException as error:  # also a cancellation: a time-out arrives as one
                BaseException.__setattr__(error, _SCOPE, scope)  # an exception of the user's own may be frozen
                raise

    def _about(self, job: JobContext) -> dict[str, Any]:
        about: dict[str, Any] = {
            "job": job.id,
            "attempt": job.attempt,
            "created_at": job.created_at.isoformat(),
            "tags": list(job.tags),
            "metadata": job.metadata,
        }
        if self._arguments:
            about["arguments"] = decode(claim_of(job).args)
        return about

    def report(self, event: Event) -> None:
        """Event handler: an attempt has failed, and its end is stored."""
        scope = _scope_of(event.error)
        if scope is not None:
            self._capture(event, scope)
            return
        with self._sdk.isolation_scope() as fresh:  # it never began, or its worker died
            _describe(fresh, event.task, event.queue, {"job": event.job_id, "attempt": event.attempt})
            self._capture(event, fresh)

    def _capture(self, event: Event, scope: Any) -> None:
        scope.set_level("error" if event.name == "dead" else "warning")
        if event.error is not None:
            self._sdk.capture_exception(event.error, scope=scope)
        else:
            why = f"{event.error_type}: {event.error_message}"
            self._sdk.capture_message(f"job {event.job_id} ({event.task}) is dead: {why}", scope=scope)


def _describe(scope: Any, task: str, queue: str, about: dict[str, Any]) -> None:
    scope.set_transaction_name(task, source="task")
    scope.set_tag("turnspit.task", task)
    scope.set_tag("turnspit.queue", queue)
    scope.set_context("turnspit", about)


def _scope_of(error: BaseException | None) -> Any:
    """The scope of the attempt in which an exception was raised. A time-out's exception has the task's as its cause."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # ``raise first from last`` makes a circle
        scope = getattr(error, _SCOPE, None)
        if scope is not None:
            return scope
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def _import_sdk() -> Any:
    try:
        # Sentry would report the log line that says that a job is dead, too: the same failure twice.
        importlib.import_module("sentry_sdk.integrations.logging").ignore_logger("turnspit.dead")
        return importlib.import_module("sentry_sdk")
    except ImportError:
        raise ConfigurationError("report_errors needs sentry_sdk: pip install sentry-sdk") from None
