"""A worker's part in limits: it takes limited jobs only when it can begin them, and gives back what it could not."""

import logging
import math
from collections.abc import Callable

from turnspit._runtime.worker.executor import Executor
from turnspit._runtime.worker.settings import WorkerSettings
from turnspit.blueprints import TaskRegistry
from turnspit.clock import monotonic
from turnspit.contract import Engine
from turnspit.contract.limits import NotItsTurn
from turnspit.records import LimitedRequest

__all__ = ["Lanes"]

logger = logging.getLogger("turnspit")

_BEGINS_WITHIN = 0.05
_AGAIN = 0.01
_AFTER_OTHERS = 0.1
"""Seconds for jobs without limits, after a claim has waited in vain for its turn."""


class Lanes:
    """Limited jobs of one worker."""

    def __init__(
        self,
        engine: Engine,
        settings: WorkerSettings,
        executor: Executor,
        *,
        worker: Callable[[], int],
        tasks: Callable[[], TaskRegistry],
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._executor = executor
        self._worker = worker
        self._tasks = tasks
        self.due_at = 0.0
        """When limited jobs may begin, by ``monotonic``."""
        self._are_in_use = True

    def look_soon(self) -> None:
        """Something changed that may concern limited jobs."""
        self.due_at = 0.0

    def woken(self) -> None:
        """Jobs became ready. Where no limits are in use, none of them is limited, and looking would cost a query."""
        if self._are_in_use:
            self.look_soon()

    def told(self, *, limited: bool) -> None:
        """Whether limited jobs wait in the store: those of this app's limits, or of another release's."""
        self._are_in_use = limited or any(task.is_limited(task.queue) for task in self._tasks().tasks)
        if limited:
            self.look_soon()

    def slots(self, prefetch: int) -> int:
        """How many jobs could begin at once: free slots, or those that fast jobs will free within a few ms."""
        executor = self._executor
        free = executor.concurrency - executor.taken - executor.waiting
        return max(free, min(executor.concurrency, prefetch // 4) if prefetch else 0)

    async def claim(self, slots: int) -> bool:
        """Begin limited jobs in so many slots; whether there were any.

        Others have those of a worker that was declared dead meanwhile. Behind a claim that takes long, as that of a
        worker that stands still, this one tries again later: jobs without limits must not wait for it.
        """
        request = LimitedRequest(self._worker(), slots, self._tasks().names, self._settings.queues)
        self.due_at = math.inf  # before the claim: a wake that comes while it is under way must not be lost
        try:
            found = await self._engine.awrite(self._engine.claim_limited_jobs, request)
        except NotItsTurn:
            self.due_at = monotonic() + _AFTER_OTHERS
            return False
        except BaseException:
            self.due_at = 0.0
            raise
        if found.until_next is not None:
            wait = found.until_next / 1_000_000
            if not found.claims:
                wait = max(_AGAIN, wait)
            self.due_at = min(self.due_at, monotonic() + wait)
        if request.worker == self._worker():
            self._executor.add_limited(found.claims, found.rated, found.admitted_after + _BEGINS_WITHIN)
        return bool(found.claims)

    async def give_back_late(self) -> None:
        """Return the jobs that could not begin at once. What they took from their rates is spent."""
        late = self._executor.late
        if late:
            claims = [(claim.id, claim.fence) for claim in late]
            await self._engine.awrite(self._engine.return_jobs, claims)
            del late[: len(claims)]
            logger.info("worker %s gave back %s jobs that could not begin within 50 ms", self._worker(), len(claims))
