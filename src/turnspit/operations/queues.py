"""What a person does with queues: ``app.queues``."""

from turnspit.client import Stored
from turnspit.records import QueueStats

__all__ = ["Queues"]


class Queues:
    """Look at queues."""

    def __init__(self, app: Stored) -> None:
        self._app = app

    def stats(self) -> list[QueueStats]:
        """Every queue: how many jobs wait, run, and ended in the last hour, and since when the oldest waits."""
        return self._app.engine.read(self._app.engine.list_queues)

    async def astats(self) -> list[QueueStats]:
        """``stats`` for async code."""
        return await self._app.engine.aread(self._app.engine.list_queues)
