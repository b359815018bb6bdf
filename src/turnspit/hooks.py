"""What an app does around its jobs: resources for each worker, middleware around each run, handlers of events."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from inspect import iscoroutinefunction, isgeneratorfunction
from itertools import count
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from turnspit.alerts import AlertFunction, AlertRule, make_rule
from turnspit.clock import Duration
from turnspit.context import JobContext
from turnspit.errors import ConfigurationError
from turnspit.events import EventBus, EventName, check_event_names
from turnspit.sending import AddedMetadata, MetadataFunction, Sender
from turnspit.signatures import check_parameters

__all__ = ["CallNext", "HookDeclarer", "Lifespan", "Middleware", "ThreadMiddleware"]

F = TypeVar("F", bound=Callable[..., Any])
A = TypeVar("A", bound=AlertFunction)
M = TypeVar("M", bound=MetadataFunction)

CallNext = Callable[[JobContext], Awaitable[Any]]
Middleware = Callable[[JobContext, CallNext], Awaitable[Any]]
ThreadMiddleware = Callable[[JobContext, Callable[[JobContext], Any]], Any]
Lifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None] | AsyncIterator[Any]]


class HookDeclarer:
    """The decorators ``lifespan``, ``middleware`` and ``on`` of an app."""

    def __init__(self) -> None:
        super().__init__()
        self.bus = EventBus()
        self.senders: list[Sender] = []
        """Called with each new job before it is stored."""
        self.added_metadata: list[AddedMetadata] = []
        self.executors: WeakValueDictionary[int, Any] = WeakValueDictionary()
        """What runs jobs in this process, by its id: each has ``concurrency`` slots and ``running`` jobs. For
        telemetry; other threads ask ``valuerefs()``, which is one step.
        """
        self.alert_rules: list[AlertRule] = []
        self._middleware: list[Middleware] = []
        self._thread_middleware: list[ThreadMiddleware] = []
        self._lifespans: list[Lifespan] = []
        self._replaced_lifespans: tuple[Lifespan, ...] | None = None

    def lifespan(self, function: F) -> F:
        """Give tasks shared resources: an async generator that yields a dict, as Starlette's lifespan.

        It runs once in each worker; what it yields is ``job.resources``.

        :raises ConfigurationError: if it is not an async generator, or does not take the app.

        ::

            @app.lifespan
            async def lifespan(app):
                async with httpx.AsyncClient() as client:
                    yield {"client": client}
        """
        if isgeneratorfunction(function):
            raise ConfigurationError(f"a lifespan is an async generator: write async def {function.__name__}(app)")
        if iscoroutinefunction(function):
            raise ConfigurationError(f"a lifespan is an async generator: {function.__name__} yields nothing")
        check_parameters(function, "a lifespan takes the app", "app")
        self._lifespans.append(function)
        return function

    def replace_lifespans(self, lifespans: tuple[Lifespan, ...] | None) -> tuple[Lifespan, ...] | None:
        """Open these in each worker instead of the app's own, until it is called with ``None``. For the test kit.

        :returns: what replaced the app's own before, for a later call.
        """
        before, self._replaced_lifespans = self._replaced_lifespans, lifespans
        return before

    def middleware(self, function: F) -> F:
        """Wrap every run: ``async def wrap(job, call_next): return await call_next(job)``.

        A plain ``def wrap(job, call_next): return call_next(job)`` wraps plain tasks only, inside their thread, where
        what a library keeps for each thread is theirs. The first one declared is the outermost. What it returns is the
        job's result, also where it does not call ``call_next``.

        :raises ConfigurationError: if it does not take the job and ``call_next``.
        """
        check_parameters(function, "middleware takes the job and what it wraps", "job", "call_next")
        if iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__):
            self._middleware.append(function)
        else:
            self._thread_middleware.append(function)
        return function

    def metadata(self, function: M) -> M:
        """Add what a plain function returns, a dict or ``None``, to the metadata of each job that is enqueued: the
        request's id, say.

        It is called without arguments in the thread or coroutine that enqueues, once for each portion of many jobs.
        ``using(metadata=)`` wins. Jobs of schedules and jobs from plain SQL have no caller, so they get nothing of it.

        :raises ConfigurationError: if it is ``async def``, or takes an argument.

        ::

            @app.metadata
            def of_request():
                return {"request_id": request_id.get()}
        """
        check_parameters(function, "a function for metadata takes nothing")
        if iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__):
            raise ConfigurationError(f"metadata is also added by sync code: write def {function.__name__}()")
        self.added_metadata.append(AddedMetadata(function))
        self.senders.append(self.added_metadata[-1])
        return function

    def alert(
        self,
        *,
        oldest: Duration | None = None,
        error_rate: float | None = None,
        dead: int | None = None,
        no_worker: Duration | None = None,
        blocked: Duration | None = None,
        queue: str | None = None,
        task: str | None = None,
        repeat: Duration = 3600,
    ) -> Callable[[A], A]:
        """Call a function, plain (in a thread) or async, with an ``Alert`` when something begins to be wrong, again
        while it lasts, and when it is over. One worker of the fleet looks, every 15 seconds.

        What somebody paused raises no alert. If a worker is killed after it has stored an alert and before it calls the
        function, the function is called after ``repeat``. Where no worker lives, ``check_alerts`` looks.

        :param oldest: seconds or ``timedelta`` that a queue's oldest ready job may have been due.
        :param error_rate: the share of a task's attempts of the last ten minutes that may fail, if there were ten.
        :param dead: from how many dead letters of a task within an hour on.
        :param no_worker: seconds or ``timedelta`` that jobs may wait while no live worker serves their queue or knows
            their task.
        :param blocked: seconds or ``timedelta`` that the event loop of a live worker may have been blocked. It cannot
            tell of itself: another worker does, or ``check_alerts``.
        :param queue: look at this queue only, and at workers that serve it.
        :param task: look at this task only, and at workers that know it.
        :param repeat: seconds or ``timedelta`` after which it is told again while it lasts.
        :raises ConfigurationError: if there is nothing to look for, a number is out of range, or the function takes no
            alert.

        ::

            @app.alert(oldest=300, error_rate=0.2, dead=1, no_worker=60, blocked=60)
            def page(alert: Alert) -> None:
                send_sms(alert.text)
        """

        def register(function: A) -> A:
            check_parameters(function, "an alert's function takes the alert", "alert")
            rule = make_rule(
                function,
                oldest=oldest,
                error_rate=error_rate,
                dead=dead,
                no_worker=no_worker,
                blocked=blocked,
                queue=queue,
                task=task,
                repeat=repeat,
            )
            # The store knows a rule by its name. Functions that are made by the same function have the same name.
            taken = {other.name for other in self.alert_rules}
            names = (rule.name if number == 1 else f"{rule.name}-{number}" for number in count(1))
            self.alert_rules.append(replace(rule, name=next(name for name in names if name not in taken)))
            return function

        return register

    def on(self, *names: EventName) -> Callable[[F], F]:
        """Call a function, plain or async, for events; see ``turnspit.events``.

        Both run on the worker's event loop: what takes long or may block belongs in a job of its own.

        :raises ConfigurationError: if there is no event of such a name, or the function does not take an event.

        ::

            @app.on("dead")
            def page_somebody(event): ...
        """
        check_event_names(names)

        def register(function: F) -> F:
            check_parameters(function, "an event's handler takes the event", "event")
            self.bus.on(names, function)
            return function

        return register
