"""Makes due jobs ready, at the moment they are due and without polling for it."""

from collections.abc import Callable

from turnspit._runtime.maintenance.around import REFUSED_AGAIN, Around
from turnspit.clock import monotonic
from turnspit.contract import Engine
from turnspit.contract.verbs import Verb
from turnspit.records import Duties

__all__ = ["Promoter"]

_LIMIT = 5000
_LONGEST = 60.0
_EARLIER = 0.02


class Promoter:
    """Sleeps until the next due time; a wake of kind ``scheduled``, or what a lookout saw, makes it look again.

    Jobs of this worker's tasks that were held while nobody knew them become ready too, in portions.
    """

    name = "promoter"

    def __init__(self, engine: Engine, tasks: Callable[[], frozenset[str]]) -> None:
        self._engine = engine
        self._around = Around(engine, "promote")
        self._tasks = tasks
        self._admits = True
        self._due_at = 0.0

    def is_called_for(self, duties: Duties) -> bool:
        """Whether it should run now: jobs are held that may become ready, or one is due earlier than it knew."""
        self._admits = self._admits or duties.held
        is_earlier = duties.until_due is not None and monotonic() + duties.until_due / 1e6 < self._due_at - _EARLIER
        return self._admits or is_earlier

    async def run_once(self) -> float:
        """Promote what is due; seconds until the next job is."""
        promoted, until_next, admitted = await self._around.write(self._promote, self._admits)
        self._admits = admitted == _LIMIT
        if _LIMIT in (promoted, admitted):
            return 0.0
        soon = REFUSED_AGAIN if self._around.refused else 0.001
        delay = _LONGEST if until_next is None else min(_LONGEST, max(soon, until_next / 1_000_000))
        self._due_at = monotonic() + delay
        return delay

    def _promote(self, admit: bool, refused: dict[str, str] | None = None) -> Verb[tuple[int, int | None, int]]:
        promoted, until_next = yield from self._engine.promote_jobs(_LIMIT, refused)
        admitted = (yield from self._engine.admit_jobs(self._tasks(), _LIMIT, refused)) if admit else 0
        return promoted, until_next, admitted
