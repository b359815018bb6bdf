"""What a person does with jobs."""

from typing import Protocol

from turnspit.contract.verbs import Verb
from turnspit.jobs import JobFilter
from turnspit.records import JobChanges
from turnspit.states import JobState

__all__ = ["Control"]


class Control(Protocol):
    """The verbs behind ``app.jobs``. Those with a filter take the ``limit`` oldest jobs that match with an id
    above ``after``; a caller goes on behind the largest id until nothing comes back, so that no job is met twice.
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

    def run_job_now(self, job_id: int) -> Verb[JobState | None]:
        """Make a scheduled job ready: the state after, or ``None`` if it is not waiting."""
        ...

    def delete_jobs(self, filter_: JobFilter, after: int, limit: int) -> Verb[list[int]]:
        """Remove jobs that are not running, with their attempts and log lines: their ids."""
        ...
