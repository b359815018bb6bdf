"""Looking at jobs and queues. These verbs change nothing."""

from typing import Protocol

from turnspit.contract.verbs import Verb
from turnspit.jobs import JobFilter
from turnspit.records import DeadGroupRecord, Duties, JobRecord, LogLine, QueueRecord, TaskStats

__all__ = ["Queries"]


class Queries(Protocol):
    """The verbs that read."""

    def get_job(self, job_id: int) -> Verb[JobRecord | None]:
        """One job, live or final, with its attempts."""
        ...

    def list_jobs(self, filter_: JobFilter, limit: int, before: int | None) -> Verb[list[JobRecord]]:
        """The newest matching jobs with an id below ``before``, with their attempts."""
        ...

    def count_jobs(self, filter_: JobFilter) -> Verb[int]:
        """How many jobs match."""
        ...

    def list_logs(self, job_id: int) -> Verb[list[LogLine]]:
        """The lines that a job logged, oldest first."""
        ...

    def group_dead_letters(self, task: str | None) -> Verb[list[DeadGroupRecord]]:
        """Dead letters by fingerprint, the largest group first."""
        ...

    def list_queues(self) -> Verb[list[QueueRecord]]:
        """Every queue that has live jobs, dead letters, or finished jobs in the last hour, by name."""
        ...

    def list_tasks(self) -> Verb[list[TaskStats]]:
        """Every task that has live jobs or dead letters, by name."""
        ...

    def find_duties(self, worker: int, queues: tuple[str, ...] | None, tasks: frozenset[str]) -> Verb[Duties]:
        """What there is to do for a worker of these queues and tasks. This is the only statement with which it
        polls.
        """
        ...

    def count_waiting(self, queue: str, most: int) -> Verb[int]:
        """How many jobs of a queue are ready or held, counted up to ``most`` of each, which bounds the cost."""
        ...

    def count_ready_or_running(self, queues: tuple[str, ...] | None, tasks: frozenset[str]) -> Verb[int]:
        """How many jobs of these queues and tasks are ready or running now; for ``--until-empty``."""
        ...

    def count_scheduled(self, queues: tuple[str, ...] | None, tasks: frozenset[str]) -> Verb[tuple[int, int | None]]:
        """How many jobs of these queues and tasks are scheduled, and when the first of them is due."""
        ...
