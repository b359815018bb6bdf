"""Workers and the leases by which they hold their jobs: one heartbeat row a worker, not one a job."""

from collections.abc import Collection
from typing import Protocol

from turnspit.contract.verbs import Verb
from turnspit.records import NewWorker, RescueReport, WorkerRecord

__all__ = ["Leases"]


class Leases(Protocol):
    """The verbs of a worker's life."""

    def register_worker(self, worker: NewWorker) -> Verb[int]:
        """A worker begins: its id, never used again. The first jobs that were held because no live worker knew their
        task become ready if this one knows it; for the rest there is ``admit_jobs``.
        """
        ...

    def admit_jobs(self, tasks: Collection[str], limit: int) -> Verb[int]:
        """Let in up to ``limit`` held jobs, how many: of these tasks, which a live worker knows, and those that were
        held for a pause that has ended.
        """
        ...

    def renew_lease(self, worker: int, lease: int, memory: int | None = None) -> Verb[bool]:
        """Prolong the worker's lease to ``lease`` microseconds from now; ``False`` if it was declared dead.

        ``memory`` is how many bytes its process has, for those who look at it.
        """
        ...

    def retire_worker(self, worker: int) -> Verb[None]:
        """A worker ends in order. Jobs that it still owns can be rescued at once."""
        ...

    def rescue_jobs(self, worker: int, max_crashes: int) -> Verb[RescueReport]:
        """Declare workers with an expired lease dead, and return the running jobs of workers that are not live.

        Only a worker that has renewed its own lease without a gap for one lease time may declare others dead: after
        an outage all leases have run out. Each job keeps an attempt with outcome ``crashed``, gets its attempt back
        and one more crash. The first crash may be a neighbour's fault; from then on a job begins alone in its
        process, and after ``max_crashes`` more it is dead. Of several such jobs of one worker only the one that was
        claimed first can have begun: the others are returned as if unrun. A job whose cancellation was requested is
        cancelled. What a worker that ended had completed by ``finish_job`` is counted.
        """
        ...

    def declare_dead(self, worker: int, max_crashes: int) -> Verb[RescueReport]:
        """Declare this very worker dead, though its lease may hold, and return its jobs as ``rescue_jobs`` does.

        For whoever saw its process end: no lease has to run out, so its jobs run again at once. Each crash counts as
        one that a lease told of. Repeated, it changes nothing more. Should the worker live after all, nothing is lost
        and nothing done twice: its next renewal and every write of its claims fail, as after a lost lease.
        """
        ...

    def return_unheld_jobs(self, worker: int, held: Collection[int]) -> Verb[list[int]]:
        """Return the running jobs that the worker owns but does not hold: claims whose answer was lost.

        Only for a worker with no claim in flight.
        """
        ...

    def find_cancelled(self, worker: int) -> Verb[list[int]]:
        """The worker's running jobs whose cancellation was requested."""
        ...

    def ask_worker(self, worker: int, what: str) -> Verb[bool]:
        """Ask a worker to be ``quiet`` (claim nothing more, and end with its last job) or to ``stop``, within its grace
        time. It hears of it with its next ``find_duties``. ``False`` if there is no such live worker.
        """
        ...

    def list_workers(self) -> Verb[list[WorkerRecord]]:
        """Live workers, and those that ended within the last hour, newest first."""
        ...
