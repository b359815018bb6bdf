"""What becomes of an attempt that did not simply return: tried again, put off, cancelled, dead, or handed back."""

import asyncio
import logging

from turnspit._runtime.worker.arguments import Unreadable
from turnspit._runtime.worker.failures import Foreign, describe
from turnspit._runtime.worker.running import Running
from turnspit._runtime.worker.settings import WorkerParts
from turnspit._runtime.worker.teller import log_retry
from turnspit.clock import is_duration, monotonic
from turnspit.errors import FinishNotCommitted, InvalidPayload, JobTimeout
from turnspit.outcomes import Cancel, GiveUp, RateLimited, RetryAfter, Snooze
from turnspit.records import Claim, Confirmation, Ending, EndingMove, ErrorRecord, Finish

__all__ = ["Endings"]

logger = logging.getLogger("turnspit")

_INVALID_DELAY = 15_000_000
_INVALID_PATIENCE = 600_000_000
"""A payload that does not validate may be a newer release's: it is tried for ten minutes."""


class Endings:
    """Decides by the app's and the tasks' policies."""

    def __init__(self, parts: WorkerParts) -> None:
        self._parts = parts

    def confirm(self, claim: Claim, finish: Finish, error: BaseException | None) -> tuple[Confirmation, BaseException]:
        """Let the store decide how an attempt that called ``job.finish(tx)`` ended: it knows if that committed."""
        if error is None or not isinstance(finish, Ending):
            error = FinishNotCommitted(
                f"job {claim.id} ({claim.task}) called job.finish() and returned, but that transaction did not commit"
            )
            finish = self._ending(claim, error, cancelled=False)
        return Confirmation(claim.id, claim.fence, finish), error

    def decide(self, running: Running, error: BaseException) -> tuple[Finish | None, BaseException]:
        """What an attempt that did not return becomes; ``None`` where it is not this worker's to say."""
        claim, stopped = running.claim, running.context.stop_reason
        if stopped in ("shutdown", "lost"):
            return None, error  # interrupted, not failed: the job is handed back, or is another's already
        if stopped == "timeout":
            error = _timeout_error(running, error)
        if isinstance(error, Unreadable):
            error = InvalidPayload(str(error))
            record = describe(error, claim.task)._replace(traceback=None)
            logger.warning(
                "job %s (%s) does not fit its task, attempt %s: %s; it is tried for ten minutes, for a worker of "
                "another release may know it",
                claim.id,
                claim.task,
                claim.attempt,
                record.message,
            )
            return Ending(claim.id, claim.fence, EndingMove.INVALID, record, _INVALID_DELAY, _INVALID_PATIENCE), error
        ending = self._ending(claim, error, cancelled=stopped == "cancelled")
        if not running.context.finishing:  # otherwise only the store knows whether it has failed
            log_retry(claim, ending)
        return ending, error

    def _ending(self, claim: Claim, error: BaseException, *, cancelled: bool) -> Ending:
        record = describe(error, claim.task)
        match error:
            # A class of the user's own may not have called ours, and has failed then.
            case Snooze(delay=delay) if is_duration(delay):
                ending = self._end(claim, EndingMove.SNOOZE, record, delay)
                return ending._replace(holds_back=isinstance(error, RateLimited))
            case _ if cancelled or isinstance(error, Cancel):
                return self._end(claim, EndingMove.CANCEL, record)
            case GiveUp():
                return self._end(claim, EndingMove.DEAD, record)
            case _:
                return self._retry(claim, record, error)

    def _retry(self, claim: Claim, record: ErrorRecord, error: BaseException) -> Ending:
        task = self._parts.tasks.get(claim.task)
        policy = task.retry if task is not None and task.retry is not None else self._parts.retry
        try:
            policy = policy.overridden_by(claim.retry)
            delay = policy.next_delay(claim.attempt, error)
        except BaseException:  # also a SystemExit: it ends this job, not the worker
            logger.exception("the retry policy of %s failed for job %s", claim.task, claim.id)
            delay = None
        if isinstance(error, RetryAfter) and claim.attempt < policy.limit:
            chosen = getattr(error, "delay", None)
            delay = chosen if is_duration(chosen) else delay
        if delay is None:
            return self._end(claim, EndingMove.DEAD, record)
        return self._end(claim, EndingMove.RETRY, record, delay)

    @staticmethod
    def _end(claim: Claim, move: EndingMove, record: ErrorRecord, delay: int = 0) -> Ending:
        return Ending(claim.id, claim.fence, move, record, delay)


def _timeout_error(running: Running, cause: BaseException) -> JobTimeout:
    seconds = monotonic() - running.started
    error = JobTimeout(f"stopped after {seconds:.1f} s, over its time-out")
    if isinstance(cause.__cause__, Foreign):
        stack = cause.__cause__.traceback
        error.__cause__ = Foreign(type(error).__name__, str(error), stack)
    elif not isinstance(cause, asyncio.CancelledError | JobTimeout):
        error.__cause__ = cause  # what a thread raised when it ended at last
    error.__context__, error.__suppress_context__ = cause, True  # for error trackers; a traceback does not show it
    return error.with_traceback(cause.__traceback__)
