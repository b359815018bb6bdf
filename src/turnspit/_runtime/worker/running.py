"""A job that is running in this process, and how it is told to stop."""

import asyncio

from turnspit.clock import monotonic
from turnspit.context import JobContext
from turnspit.records import Claim

__all__ = ["Running"]


class Running:
    """A job that is running here."""

    __slots__ = (
        "_told",
        "begun",
        "claim",
        "context",
        "deadline",
        "is_async",
        "is_isolated",
        "is_lost",
        "overdue_at",
        "started",
        "successor",
        "task",
    )

    def __init__(self, claim: Claim, context: JobContext) -> None:
        self.claim = claim
        self.context = context
        self.started = monotonic()
        self.deadline: float | None = None
        self.overdue_at: float | None = None
        """When it was told that its time is over, if it was."""
        self.is_async = True
        self.is_isolated = False
        """Whether it runs in a process of its own, which is killed where a thread would be left to itself."""
        self.begun = False
        """Whether its asyncio task took its first step: one that is cancelled before never runs, and frees no slot."""
        self.task: asyncio.Task[None] | None = None
        self.is_lost = False
        """Whether its claim is another worker's by now."""
        self.successor: Claim | None = None
        """A newer claim of the same job, which came back to this process: it does not begin beside this run."""
        self._told = ""

    @property
    def current_claim(self) -> Claim | None:
        """The claim of its job that this worker has now."""
        return self.successor or (None if self.is_lost else self.claim)

    def take_successor(self) -> Claim | None:
        """The claim that waits for its end, and waits no longer."""
        successor, self.successor = self.successor, None
        return successor

    def lose(self) -> None:
        """Its worker was declared dead: others may run its job already."""
        self.is_lost, self.successor = True, None
        self.stop("lost")

    def stop(self, reason: str) -> None:
        """Tell the job to stop: a coroutine is cancelled, a thread sees ``job.cancelled``.

        The same reason again changes nothing, so that a coroutine that cleans up is not interrupted in it. Of several
        reasons, the first one decides what becomes of the attempt.
        """
        if reason == self._told:
            return
        self._told = reason
        self.context.stop(reason)
        if self.is_async and self.begun and self.task is not None:
            self.task.cancel()
        elif self.context.call is not None:
            self.context.call.cancel()  # as long as no thread has begun it
