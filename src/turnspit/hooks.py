"""What an app does around its jobs: resources for each worker, middleware around each run, handlers of events."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from inspect import iscoroutinefunction, isgeneratorfunction
from typing import Any, TypeVar
from weakref import WeakSet

from turnspit.context import JobContext
from turnspit.errors import ConfigurationError
from turnspit.events import EventBus, EventName, check_event_names
from turnspit.sending import Sender

__all__ = ["CallNext", "HookDeclarer", "Lifespan", "Middleware", "ThreadMiddleware"]

F = TypeVar("F", bound=Callable[..., Any])

CallNext = Callable[[JobContext], Awaitable[Any]]
Middleware = Callable[[JobContext, CallNext], Awaitable[Any]]
ThreadMiddleware = Callable[[JobContext, Callable[[JobContext], Any]], Any]
Lifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None] | AsyncIterator[Any]]


class HookDeclarer:
    """The decorators ``lifespan``, ``middleware`` and ``on`` of an app."""

    def __init__(self) -> None:
        super().__init__()
        self.events = EventBus()
        self.senders: list[Sender] = []
        """Called with each new job before it is stored. For telemetry."""
        self.executors: WeakSet[Any] = WeakSet()
        """What runs jobs in this process: each has ``concurrency`` slots and ``running`` jobs. For telemetry."""
        self._middleware: list[Middleware] = []
        self._thread_middleware: list[ThreadMiddleware] = []
        self._lifespans: list[Lifespan] = []
        self._replaced_lifespans: tuple[Lifespan, ...] | None = None

    def lifespan(self, function: F) -> F:
        """Give tasks shared resources: an async generator that yields a dict, as Starlette's lifespan.

        It runs once in each worker; what it yields is ``job.resources``.

        ::

            @app.lifespan
            async def lifespan(app):
                async with httpx.AsyncClient() as client:
                    yield {"client": client}
        """
        if isgeneratorfunction(function):
            raise ConfigurationError(f"a lifespan is an async generator: write async def {function.__name__}(app)")
        self._lifespans.append(function)
        return function

    def replace_lifespans(self, lifespans: tuple[Lifespan, ...] | None) -> tuple[Lifespan, ...] | None:
        """Open these in each worker instead of the app's own, until it is called with ``None``; what it replaces.

        For the test kit.
        """
        before, self._replaced_lifespans = self._replaced_lifespans, lifespans
        return before

    def middleware(self, function: F) -> F:
        """Wrap every run: ``async def wrap(job, call_next): return await call_next(job)``.

        A plain ``def wrap(job, call_next): return call_next(job)`` wraps plain tasks only, inside their thread, where
        what a library keeps for each thread is theirs. The first one declared is the outermost.
        """
        if iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__):
            self._middleware.append(function)
        else:
            self._thread_middleware.append(function)
        return function

    def on(self, *names: EventName) -> Callable[[F], F]:
        """Call a function, plain or async, for events; see ``turnspit.events``.

        Both run on the worker's event loop: what takes long or may block belongs in a job of its own.

        ::

            @app.on("dead")
            def page_somebody(event): ...
        """
        check_event_names(names)

        def register(function: F) -> F:
            self.events.on(names, function)
            return function

        return register
