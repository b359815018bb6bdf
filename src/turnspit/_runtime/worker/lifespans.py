"""What an app's lifespans provide to its tasks."""

import inspect
from collections.abc import Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from turnspit._runtime.worker.settings import WorkerParts

__all__ = ["open_lifespans"]


async def open_lifespans(parts: WorkerParts, stack: AsyncExitStack) -> Mapping[str, Any]:
    """Open the app's lifespans on ``stack``, in order; the resources of all."""
    resources: dict[str, Any] = {}
    for lifespan in parts.lifespans:
        make = asynccontextmanager(lifespan) if inspect.isasyncgenfunction(lifespan) else lifespan
        provided = await stack.enter_async_context(make(parts.app))  # type: ignore[arg-type]
        resources |= provided or {}
    return resources
