"""Makes due jobs ready, at the moment they are due and without polling for it."""

from collections.abc import Callable

from turnspit.clock import monotonic
from turnspit.contract import Engine
from turnspit.contract.verbs import Verb

__all__ = ["Promoter"]

_LIMIT = 5000
_LONGEST = 5.0


class Promoter:
    """Sleeps until the next due time; a wake of kind ``scheduled`` makes it look again.

    Jobs of this worker's tasks that were held while nobody knew them become ready too, in portions.
    """

    name = "promoter"

    def __init__(self, engine: Engine, tasks: Callable[[], frozenset[str]]) -> None:
        self._engine = engine
        self._tasks = tasks
        self._admit_at = 0.0

    async def run_once(self) -> float:
        """Promote what is due; seconds until the next job is."""
        now = monotonic()
        is_time = now >= self._admit_at
        promoted, until_next, admitted = await self._engine.awrite(self._promote, admit=is_time)
        if is_time and admitted < _LIMIT:
            self._admit_at = now + _LONGEST
        if _LIMIT in (promoted, admitted):
            return 0.0
        return _LONGEST if until_next is None else min(_LONGEST, max(0.001, until_next / 1_000_000))

    def _promote(self, *, admit: bool) -> Verb[tuple[int, int | None, int]]:
        promoted, until_next = yield from self._engine.promote_jobs(_LIMIT)
        admitted = (yield from self._engine.admit_jobs(self._tasks(), _LIMIT)) if admit else 0
        return promoted, until_next, admitted
