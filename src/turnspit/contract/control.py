"""What a person does with jobs."""

from typing import Protocol

from turnspit.contract.verbs import Verb
from turnspit.jobs import JobFilter
from turnspit.records import JobChanges
from turnspit.states import JobState

__all__ = ["Control"]


class Control(Protocol):
    """The verbs behind ``app.jobs``. Those with a filter handle the ``limit`` oldest matching jobs with an id above
    ``after``. A caller repeats them with the largest id that was returned, until nothing is; so no job is met twice.
    """

    def cancel_jobs(self, filter_: JobFilter, reason: str, after: int, limit: int) -> Verb[list[tuple[int, JobState]]]:
        """Cancel waiting jobs, and request the end of running ones: id and state after the call.

        A running job's request is kept with the job, so that it outlives a crash of its worker.
        """
        ...

    def replay_jobs(self, filter_: JobFilter, after: int, limit: int) -> Verb[list[tuple[int, JobState]]]:
        """Make final jobs ready again, with attempts counted anew and every earlier attempt kept: id and state after.

        A job whose unique key another job holds by now stays as it is.
        """
        ...

    def update_job(self, job_id: int, changes: JobChanges) -> Verb[JobState | None]:
        """Change a waiting job's priority, queue or time: the state after, or ``None`` if it is not waiting."""
        ...

    def run_jobs_now(self, filter_: JobFilter, after: int, limit: int) -> Verb[list[tuple[int, JobState]]]:
        """Make waiting jobs ready, whatever their time, with the attempts they have: id and state after the call."""
        ...

    def delete_jobs(self, filter_: JobFilter, after: int, limit: int) -> Verb[list[int]]:
        """Remove jobs that are not running, with their attempts and log lines: their ids."""
        ...
