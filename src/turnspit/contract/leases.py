"""Workers and the leases by which they hold their jobs. A lease belongs to a worker, not to a job."""

from collections.abc import Collection
from typing import Protocol

from turnspit.contract.verbs import Verb
from turnspit.records import BlockedLoop, NewWorker, Renewal, RescueReport, WorkerRecord

__all__ = ["Leases"]


class Leases(Protocol):
    """The verbs of a worker's life."""

    def register_worker(self, worker: NewWorker) -> Verb[int]:
        """Register a worker that starts; its id, which is never used again. Jobs that were held because no live worker
        knew their task become ready if this one knows it: a portion of them now, the rest by ``admit_jobs``, or all
        of them where the store refuses one.
        """
        ...

    def admit_jobs(self, tasks: Collection[str], limit: int, refused: dict[str, str] | None = None) -> Verb[int]:
        """Make up to ``limit`` held jobs ready: jobs of these tasks, which a live worker knows, and jobs that were held
        by a pause that has ended. How many there were.

        :param refused: as for ``rescue_jobs``.
        """
        ...

    def renew_lease(
        self, worker: int, lease: int, memory: int | None = None, blocked: BlockedLoop | None = None
    ) -> Verb[Renewal | None]:
        """Extend the worker's lease to ``lease`` microseconds from now; ``None`` if it was declared dead.

        :param memory: bytes that its process uses, for display.
        :param blocked: since when its event loop has not responded, and where it is, for display. ``None`` if it
            responds.
        """
        ...

    def retire_worker(self, worker: int) -> Verb[None]:
        """End a worker that shuts down in order. Jobs that it still owns can be rescued at once."""
        ...

    def rescue_jobs(self, worker: int, max_crashes: int, refused: dict[str, str] | None = None) -> Verb[RescueReport]:
        """Declare workers with an expired lease dead, and return the running jobs of workers that are not live.

        Only a worker that has renewed its own lease without a gap for one lease time may declare others dead, because
        after an outage all leases have run out. Of each job the attempt is stored with outcome ``crashed``; it does not
        count as an attempt, but as one more crash. The first crash may be another job's fault. From then on the job
        runs alone in its process, and after ``max_crashes`` more crashes it is dead. If a worker had claimed several
        such jobs, only the first can have begun, and the others are returned as if unrun. A job whose cancellation was
        requested is cancelled. What an ended worker had completed by ``finish_job`` is counted.

        :param refused: leave out what the store refuses, by a constraint or a trigger of somebody else, and note here
            what it was and why.
        """
        ...

    def declare_dead(self, worker: int, max_crashes: int, refused: dict[str, str] | None = None) -> Verb[RescueReport]:
        """Declare this worker dead although its lease may not have run out, and return its jobs as ``rescue_jobs``
        does.

        For whoever saw its process end, so that its jobs run again at once. A repeated call changes nothing more.
        Should the worker live after all, its next renewal and every write of its claims fail, as after a lost lease.

        :param refused: as for ``rescue_jobs``.
        """
        ...

    def return_unanswered_claims(self, worker: int, known: Collection[int]) -> Verb[list[int]]:
        """Return the running jobs that the store says this worker has, but which are not among ``known``, those that it
        knows of: the answers to their claims were lost.

        Only for a worker with no claim in flight.
        """
        ...

    def find_cancelled(self, worker: int) -> Verb[list[int]]:
        """The worker's running jobs whose cancellation was requested."""
        ...

    def ask_worker(self, worker: int, what: str) -> Verb[bool]:
        """Ask a worker to be ``quiet`` (claim nothing more, and end with its last job) or to ``stop`` within its grace
        time. It learns of it by its next ``find_duties``. ``False`` if there is no such live worker.
        """
        ...

    def list_workers(self) -> Verb[list[WorkerRecord]]:
        """Live workers, and those that ended within the last hour, newest first."""
        ...
