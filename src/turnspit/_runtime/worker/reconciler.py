"""Compares what the store says of this worker's jobs with what it knows itself."""

import logging
from collections.abc import Sequence

from turnspit._runtime.worker.claimer import Claimer
from turnspit._runtime.worker.executor import Executor
from turnspit._runtime.worker.finisher import Finisher
from turnspit._runtime.worker.registration import Registration
from turnspit.codec import decode_list
from turnspit.contract import Engine
from turnspit.records import Claim, Duties, PauseRecord

__all__ = ["Reconciler"]

logger = logging.getLogger("turnspit")

_LONGEST = 60.0


class Reconciler:
    """Stops jobs whose cancellation was requested, and returns claims whose answer was lost.

    After a pause it hands back what waits here and is paused.
    """

    name = "reconciler"

    def __init__(
        self, engine: Engine, registration: Registration, executor: Executor, finisher: Finisher, claimer: Claimer
    ) -> None:
        self._engine = engine
        self._registration = registration
        self._executor = executor
        self._finisher = finisher
        self._claimer = claimer
        self._is_in_doubt = True
        self._is_paused = False
        self._paused_at: int | None = None

    async def run_once(self) -> float:
        """Look once; it is woken for the next look."""
        if not self._registration.holds:
            return _LONGEST
        worker = self._registration.id
        await self._stop_cancelled(worker)
        if self._is_paused:
            self._is_paused = False
            await self._return_paused()
        if self._is_in_doubt:  # a wake is about cancellations: it need not hold up the exchanges
            await self._return_unanswered(worker)
        return _LONGEST

    def is_called_for(self, duties: Duties) -> bool:
        """Whether it should run now: for a cancellation, or because the store knows of more jobs of it than it does."""
        self._is_in_doubt = self._is_in_doubt or duties.owned > len(self._known_jobs())
        self._is_paused = self._is_paused or duties.paused_at not in (None, self._paused_at)
        self._paused_at = duties.paused_at
        return self._is_in_doubt or self._is_paused or duties.cancelled

    def doubt(self) -> None:
        """An exchange failed, and may have claimed jobs all the same: look for them. On a busy worker their number is
        not seen among those that come and go.
        """
        self._is_in_doubt = True

    def note_pause(self) -> None:
        """Something was paused: look for what waits here and is concerned."""
        self._is_paused = True

    async def _return_paused(self) -> None:
        """Hand back what waits here and is paused. Limited jobs stay: they begin at once or go back by themselves."""
        pauses = await self._engine.aread(self._engine.list_pauses)
        if not pauses:
            return
        async with self._claimer.exchanging():  # a claim that is under way may have begun before the pause
            waiting = self._executor.take(lambda claim: claim.lane is None and _is_paused(claim, pauses))
            await self._return(waiting)

    def _known_jobs(self) -> set[int]:
        return self._executor.claimed | self._finisher.unstored

    async def _return_unanswered(self, worker: int) -> None:
        async with self._claimer.exchanging():
            if self._registration.id != worker:
                return  # declared dead meanwhile: it has no jobs, and whoever rescues them counts the crash
            returned = await self._engine.awrite(self._engine.return_unanswered_claims, worker, self._known_jobs())
            self._is_in_doubt = False  # not before: what the store does not take now is tried again
        if returned:
            logger.warning("worker %s returned %s jobs whose claim's answer was lost", worker, len(returned))

    async def _stop_cancelled(self, worker: int) -> None:
        cancelled = set(await self._engine.aread(self._engine.find_cancelled, worker))
        waiting = self._executor.take_jobs(cancelled)
        for job in cancelled:
            running = self._executor.running.get(job)
            if running is not None:
                running.stop("cancelled")
        await self._return(waiting)

    async def _return(self, claims: list[Claim]) -> None:
        if not claims:
            return
        try:
            await self._engine.awrite(self._engine.return_jobs, [(claim.id, claim.fence) for claim in claims])
        except BaseException:
            self.doubt()  # the executor has given them up
            raise


def _is_paused(claim: Claim, pauses: Sequence[PauseRecord]) -> bool:
    tags = decode_list(claim.tags)
    places = {"queue": (claim.queue,), "task": (claim.task,), "tag": tags}
    return any(pause.name in places[pause.kind] for pause in pauses)
