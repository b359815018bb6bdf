"""Does what is left to do for workflows: large fan-outs, deadlines."""

from turnspit._runtime.maintenance.around import REFUSED_AGAIN, Around
from turnspit.clock import monotonic
from turnspit.contract import Engine
from turnspit.records import Duties

__all__ = ["Tender"]

_LIMIT = 500
_LONGEST = 60.0
_EARLIER = 0.02
_BUSY = 0.05


class Tender:
    """Sleeps until there is something to do; a wake of kind ``workflow``, or what a lookout saw, makes it look."""

    name = "tender"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._around = Around(engine, "tend")
        self._due_at = 0.0

    def is_called_for(self, duties: Duties) -> bool:
        """Whether it should run now: something is due earlier than it knew."""
        until = duties.until_workflow
        return until is not None and monotonic() + until / 1e6 < self._due_at - _EARLIER

    async def run_once(self) -> float:
        """Do a portion; seconds until the next."""
        done, until_next = await self._around.write(self._engine.tend_workflows, _LIMIT)
        if done:
            return 0.0
        # What is due and was not done is another worker's at this moment, or refused.
        soon = REFUSED_AGAIN if self._around.refused else _BUSY
        delay = _LONGEST if until_next is None else min(_LONGEST, max(soon, until_next / 1_000_000))
        self._due_at = monotonic() + delay
        return delay
