"""What a worker with ``until_empty`` leaves for later: who only sees that it ended may take everything for done."""

import asyncio
import contextlib
import logging

from turnspit._runtime.worker.settings import WorkerParts, WorkerSettings
from turnspit.clock import from_moment
from turnspit.errors import TurnspitError

__all__ = ["tell_what_remains"]

logger = logging.getLogger("turnspit")

_PATIENCE = 2.0
"""Seconds for which the store is asked: the worker may have been stopped because it is away."""


async def tell_what_remains(parts: WorkerParts, settings: WorkerSettings) -> None:
    """Log how many jobs of an ``until_empty`` worker are not due yet, if there are any."""
    if not settings.until_empty:
        return
    with contextlib.suppress(TurnspitError, TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            count, next_at = await parts.engine.aread(parts.engine.count_scheduled, settings.queues, parts.tasks.names)
        if next_at is not None:
            logger.info(
                "jobs that are left, for a retry or for later: %s; the next one is due at %s UTC",
                count,
                f"{from_moment(next_at):%Y-%m-%d %H:%M:%S}",
            )
