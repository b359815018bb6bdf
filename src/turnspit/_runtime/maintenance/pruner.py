"""Removes what has been kept long enough."""

from turnspit.contract import Engine
from turnspit.records import PruneRequest

__all__ = ["Pruner"]

_INTERVAL = 60.0


class Pruner:
    """Prunes in small transactions, so that no claim waits behind it."""

    name = "pruner"

    def __init__(self, engine: Engine, request: PruneRequest) -> None:
        self._engine = engine
        self._request = request

    async def run_once(self) -> float:
        """Prune one portion; seconds until the next."""
        limit = self._request.limit
        removed = await self._engine.awrite(self._engine.prune_jobs, self._request)
        forgotten = await self._engine.awrite(self._engine.prune_keys, limit)
        unused = await self._engine.awrite(self._engine.prune_limits, limit)
        ended = await self._engine.awrite(self._engine.prune_workflows, self._request.history, limit)
        return 0.05 if max(removed, forgotten, unused, ended) >= limit else _INTERVAL
