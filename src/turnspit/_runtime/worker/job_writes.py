"""What a running job writes to the store itself: its end, in its task's own transaction, and jobs of its workflow."""

from typing import Any

from turnspit._runtime.worker.completions import completion_of
from turnspit._runtime.worker.settings import WorkerParts
from turnspit.errors import LostClaim
from turnspit.records import Claim, Completion
from turnspit.workflows import WorkflowBuilder

__all__ = ["JobWrites"]


class JobWrites:
    """Half of a ``Reporter``, the same in a worker and in an isolated process. Its methods are called in any thread."""

    def __init__(self, parts: WorkerParts) -> None:
        self._parts = parts

    def finish_in(self, tx: object, claim: Claim, result: Any) -> None:
        """Complete a running job inside its task's own transaction.

        :raises LostClaim: if its claim is no longer current.
        """
        engine = self._parts.engine
        if not engine.write_in(tx, engine.finish_job, self._completion(claim, result)):
            raise _lost(claim)

    async def afinish_in(self, tx: object, claim: Claim, result: Any) -> None:
        """``finish_in`` for async code."""
        engine = self._parts.engine
        if not await engine.awrite_in(tx, engine.finish_job, self._completion(claim, result)):
            raise _lost(claim)

    def extend_workflow(self, claim: Claim) -> WorkflowBuilder:
        """What adds jobs to a running job's own workflow."""
        return WorkflowBuilder(self._parts.workflow_writer, None, by=(claim.id, claim.fence))

    def _completion(self, claim: Claim, result: Any) -> Completion:
        return completion_of(self._parts.tasks[claim.task], claim, result, self._parts.max_result)


def _lost(claim: Claim) -> LostClaim:
    return LostClaim(
        f"job {claim.id} ({claim.task}) is not this worker's any more: it was taken over or has ended; "
        "let the transaction roll back, nothing of it may stay"
    )
