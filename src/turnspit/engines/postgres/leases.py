"""The verbs of ``contract/leases.py`` that need a lock on PostgreSQL."""

from turnspit.contract.verbs import Statement, Verb
from turnspit.engines.verbs.leases import LeaseVerbs
from turnspit.records import NewWorker

__all__ = ["PostgresLeaseVerbs"]


class PostgresLeaseVerbs(LeaseVerbs):
    """Workers and their leases."""

    def register_worker(self, worker: NewWorker) -> Verb[int]:
        # A claim that finds no live worker for a task holds its jobs. Without the lock it could do so on a snapshot
        # without this worker, after this worker has admitted what was held.
        yield Statement(self.sql["lock_registration"], {})
        return (yield from super().register_worker(worker))
