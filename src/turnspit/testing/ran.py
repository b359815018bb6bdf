"""A job after one of its attempts was run by a test."""

from typing import Generic, TypeVar

from turnspit.jobs import Job
from turnspit.outcomes import Cancel, Snooze

__all__ = ["RanJob"]

R = TypeVar("R")


class RanJob(Job[R], Generic[R]):
    """The job as it stood after the attempt, and what the attempt raised.

    ::

        ran = t.run_one(job)
        assert ran.state == "scheduled"
        assert isinstance(ran.error, ConnectionError)
    """

    __slots__ = ("error",)

    def __init__(self, job: Job[R], error: BaseException | None) -> None:
        super().__init__(job._record, job._store)
        self.error = error
        """The exception itself, with its traceback; ``None`` if the function returned."""

    @property
    def failed(self) -> bool:
        """Whether the attempt raised something other than ``Snooze`` or ``Cancel``."""
        return self.error is not None and not isinstance(self.error, (Snooze, Cancel))

    def raise_error(self) -> None:
        """Raise what the attempt raised, if it failed."""
        if self.error is not None and self.failed:
            raise self.error
