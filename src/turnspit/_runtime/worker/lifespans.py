"""What an app's lifespans provide to its tasks."""

import inspect
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from turnspit._runtime.worker.settings import WorkerParts
from turnspit.errors import ConfigurationError

__all__ = ["open_lifespans"]


async def open_lifespans(parts: WorkerParts, stack: AsyncExitStack) -> Mapping[str, Any]:
    """Open the app's lifespans on ``stack``, in order; the resources of all."""
    resources: dict[str, Any] = {}
    for lifespan in parts.lifespans:
        make = asynccontextmanager(lifespan) if inspect.isasyncgenfunction(lifespan) else lifespan
        opened: object = make(parts.app)
        if not isinstance(opened, AbstractAsyncContextManager):
            kind = type(opened).__name__
            raise ConfigurationError(
                f"a lifespan is an async generator that yields its resources: this one returned {kind}"
            )
        provided = await stack.enter_async_context(opened)
        if provided is not None and not isinstance(provided, Mapping):
            raise ConfigurationError(f"a lifespan yields a dict of resources or nothing, not {provided!r}")
        resources |= provided or {}
    return resources
