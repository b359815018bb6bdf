"""What a worker is told."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from turnspit.blueprints import TaskRegistry
from turnspit.context import JobContext
from turnspit.contract import Engine
from turnspit.events import EventBus
from turnspit.retries import Retry

__all__ = ["CallNext", "Lifespan", "Middleware", "WorkerParts", "WorkerSettings"]

CallNext = Callable[[JobContext], Awaitable[Any]]
Middleware = Callable[[JobContext, CallNext], Awaitable[Any]]
Lifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None] | AsyncIterator[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How a worker works. Durations are seconds."""

    queues: tuple[str, ...] | None = None
    concurrency: int = 10
    grace: float = 25.0
    """How long running jobs may go on after a stop."""
    until_empty: bool = False
    maintenance: bool = True
    lease: float = 15.0
    heartbeat: float = 5.0
    poll: float = 1.0
    max_crashes: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerParts:
    """What a worker gets from its app."""

    app: Any
    engine: Engine
    tasks: TaskRegistry
    bus: EventBus
    middleware: tuple[Middleware, ...]
    lifespans: tuple[Lifespan, ...]
    retry: Retry
    timeout: int
    max_result: int
    history_retention: int | None
    dead_retention: int | None
    version: str
