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
    """What is used of ``sentry_sdk``."""

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
    """Report each failed attempt with its job: as an error where the job is dead now, as a warning where it is tried
    again. What is raised as an outcome (``Snooze``, ``Cancel``) is no failure.

    An error is reported once the attempt's end is stored, by the worker that ran it, at most once: a worker that is
    killed in between does not report. The dead letter is in the store all the same.

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
        """Middleware: an attempt has a scope of its own, which its exception takes along."""
        with self._sdk.isolation_scope() as scope:
            _describe(scope, job.task, job.queue, self._about(job))
            try:
                return await call_next(job)
            except BaseException as error:  # also a cancellation, which a time-out comes as
                setattr(error, _SCOPE, scope)
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
        """Event handler: an attempt failed, and that is stored."""
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
    """The scope of the attempt that an exception comes from; a time-out comes from the task's own."""
    while error is not None:
        scope = getattr(error, _SCOPE, None)
        if scope is not None:
            return scope
        error = error.__cause__ or error.__context__
    return None


def _import_sdk() -> Any:
    try:
        # The line in the log that a job is dead would be a second report of the same.
        importlib.import_module("sentry_sdk.integrations.logging").ignore_logger("turnspit.dead")
        return importlib.import_module("sentry_sdk")
    except ImportError:
        raise ConfigurationError("report_errors needs sentry_sdk: pip install sentry-sdk") from None
