"""Makes due jobs ready, at the moment they are due and without polling for it."""

from turnspit.contract import Engine

__all__ = ["Promoter"]

_LIMIT = 5000
_LONGEST = 5.0


class Promoter:
    """Sleeps until the next due time; a wake of kind ``scheduled`` makes it look again."""

    name = "promoter"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def run_once(self) -> float:
        """Promote what is due; seconds until the next job is."""
        promoted, until_next = await self._engine.awrite(self._engine.promote_jobs, _LIMIT)
        if promoted == _LIMIT:
            return 0.0
        return _LONGEST if until_next is None else min(_LONGEST, max(0.001, until_next / 1_000_000))
