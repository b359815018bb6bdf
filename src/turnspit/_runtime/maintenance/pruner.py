"""Removes what has been kept long enough."""

from collections.abc import Awaitable, Callable

from turnspit.contract import Engine
from turnspit.records import PruneRequest

__all__ = ["Pruner", "pruners"]

_INTERVAL = 60.0


class Pruner:
    """Prunes one kind of thing in small transactions, so that no claim waits behind it.

    :param prune: removes one portion; how many it removed.
    :param limit: how many a full portion has.
    """

    def __init__(self, name: str, prune: Callable[[], Awaitable[int]], limit: int) -> None:
        self.name = name
        self._prune = prune
        self._limit = limit

    async def run_once(self) -> float:
        """Prune one portion; seconds until the next."""
        return 0.05 if await self._prune() >= self._limit else _INTERVAL


def pruners(engine: Engine, request: PruneRequest) -> list[Pruner]:
    """One for each kind: where the store refuses one of them, the others go on, and each is tried again by itself."""
    limit = request.limit
    return [
        Pruner("pruner of jobs", lambda: engine.awrite(engine.prune_jobs, request), limit),
        Pruner("pruner of keys", lambda: engine.awrite(engine.prune_keys, limit), limit),
        Pruner("pruner of limits", lambda: engine.awrite(engine.prune_limits, limit), limit),
        Pruner("pruner of workflows", lambda: engine.awrite(engine.prune_workflows, request.history, limit), limit),
    ]
