"""The verbs of ``contract/leases.py``, on any engine."""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from turnspit.contract.verbs import Row, Statement, Verb, Wake, WakeKind
from turnspit.engines.verbs.claims import MOST_HELD
from turnspit.engines.verbs.ends import Outcome
from turnspit.engines.verbs.jobs import JobVerbs
from turnspit.engines.verbs.rows import to_json, worker_from_row
from turnspit.records import BlockedLoop, NewWorker, Renewal, RescueReport, WorkerRecord

__all__ = ["LeaseVerbs"]


class _Orphan(NamedTuple):
    """A running job whose worker is not live."""

    id: int
    queue: str
    task: str
    run_time: int
    crashes: int
    cancel_requested_at: int | None
    lane: str | None
    workflow: int | None
    fence: int
    worker: int
    started_at: int


def _never_begun(orphans: Sequence[_Orphan]) -> set[_Orphan]:
    """Those jobs that their worker had claimed, but certainly not begun. It runs jobs with a crash behind them one at a
    time, in the order of their claims (``worker/suspects.py``), so of each worker's only the first can have begun.
    """
    suspects = sorted((job for job in orphans if job.crashes), key=lambda job: (job.worker, job.started_at, job.id))
    return {later for earlier, later in pairwise(suspects) if earlier.worker == later.worker}


class LeaseVerbs(JobVerbs):
    """Workers and their leases."""

    def register_worker(self, worker: NewWorker) -> Verb[int]:
        params = {
            "now": self.clock.now(),
            "host": worker.host,
            "pid": worker.pid,
            "version": worker.version,
            "queues": None if worker.queues is None else to_json(worker.queues),
            "tasks": to_json(sorted(worker.tasks)),
            "concurrency": worker.concurrency,
            "lease": worker.lease,
        }
        [(worker_id,)] = yield Statement(self.sql["register_worker"], params)
        # What is refused of this keeps no worker from its work. It is tried again by those who call ``admit_jobs``.
        yield from self.by_halves(lambda _: self.admit_jobs(worker.tasks, MOST_HELD), {"a portion": None}, {})
        return int(worker_id)

    def admit_jobs(self, tasks: Collection[str], limit: int, refused: dict[str, str] | None = None) -> Verb[int]:
        params = {"tasks": to_json(sorted(tasks)), "limit": limit}
        admitted = yield from self._admit("admit_jobs", "admit_jobs_held", params, refused)
        if admitted < limit:
            admitted += yield from self.admit_resumed_jobs(limit - admitted, refused)
        return admitted

    def admit_resumed_jobs(self, limit: int, refused: dict[str, str] | None = None) -> Verb[int]:
        """Admit jobs that were held for a pause that has ended; how many."""
        return (yield from self._admit("admit_resumed_jobs", "admit_resumed_jobs_held", {"limit": limit}, refused))

    def _admit(self, block: str, held: str, params: Mapping[str, Any], refused: dict[str, str] | None) -> Verb[int]:
        def admit(which: str, params: Mapping[str, Any]) -> Verb[int]:
            return len((yield Statement(self.sql[block].replace("{which}", which), params)))

        admitted = yield from self.move_due(held, admit, params, refused)
        if admitted:
            yield Wake(WakeKind.READY)
        return admitted

    def renew_lease(
        self, worker: int, lease: int, memory: int | None = None, blocked: BlockedLoop | None = None
    ) -> Verb[Renewal | None]:
        blocked_for, blocked_by = blocked or (None, None)
        params = {
            "now": self.clock.now(),
            "worker": worker,
            "lease": lease,
            "memory": memory,
            "blocked_for": blocked_for,
            "blocked_by": blocked_by,
        }
        rows = yield Statement(self.sql["renew_lease"], params)
        return Renewal(rows[0][0]) if rows else None

    def retire_worker(self, worker: int) -> Verb[None]:
        yield Statement(self.sql["retire_worker"], {"now": self.clock.now(), "worker": worker})

    def rescue_jobs(self, worker: int, max_crashes: int, refused: dict[str, str] | None = None) -> Verb[RescueReport]:
        params = {"now": self.clock.now(), "worker": worker, "max_crashes": max_crashes}
        workers = yield Statement(self.sql["rescue_jobs_workers"], params)
        return (yield from self._return_jobs(tuple(row[0] for row in workers), params, max_crashes, refused))

    def declare_dead(self, worker: int, max_crashes: int, refused: dict[str, str] | None = None) -> Verb[RescueReport]:
        params = {"now": self.clock.now(), "worker": worker, "max_crashes": max_crashes}
        workers = yield Statement(self.sql["declare_dead"], params)
        return (yield from self._return_jobs(tuple(row[0] for row in workers), params, max_crashes, refused))

    def _return_jobs(
        self,
        workers: tuple[int, ...],
        params: dict[str, Any],
        max_crashes: int,
        refused: dict[str, str] | None = None,
    ) -> Verb[RescueReport]:
        yield from self._settle_left_over(refused)
        found = [_Orphan._make(row) for row in (yield Statement(self.sql["rescue_jobs"], params))]
        unbegun = _never_begun(found)

        def return_some(some: list[_Orphan]) -> Verb[RescueReport]:
            return self._return_orphans(some, unbegun, params, max_crashes)

        if not found:
            return RescueReport(workers, (), (), ())
        if refused is None:
            return (yield from return_some(found))._replace(workers=workers)
        reports = yield from self.by_halves(return_some, {f"job {job.id}": job for job in found}, refused)
        return RescueReport(
            workers,
            tuple(job for report in reports for job in report.returned),
            tuple(job for report in reports for job in report.dead),
            tuple(job for report in reports for job in report.cancelled),
            tuple(crash for report in reports for crash in report.crashed),
        )

    def _settle_left_over(self, refused: dict[str, str] | None) -> Verb[None]:
        """Do what follows from what ended workers had completed by ``finish_job``."""
        if refused is None:
            yield from self.settle_outbox("rescue_jobs_outbox", {})
            return

        def settle(some: list[Row]) -> Verb[None]:
            for job, fence in some:
                yield from self.settle_outbox("finish_jobs_outbox", {"id": job, "fence": fence})

        rows = yield Statement(self.sql["rescue_jobs_outbox_find"], {})
        yield from self.by_halves(settle, {f"the end of job {row[0]}": row for row in rows}, refused)

    def _return_orphans(
        self, found: list[_Orphan], unbegun: set[_Orphan], params: dict[str, Any], max_crashes: int
    ) -> Verb[RescueReport]:
        waiting = [job for job in found if job in unbegun]
        if waiting:
            yield from self.return_jobs([(job.id, job.fence) for job in waiting])
        orphans = [job for job in found if job not in unbegun]
        ended = [job for job in orphans if job.cancel_requested_at is None]
        cancelled = tuple(job.id for job in orphans if job.cancel_requested_at is not None)
        dead = tuple(job.id for job in ended if job.crashes >= max_crashes)
        returned = tuple(job.id for job in ended if job.crashes < max_crashes)
        yield from self.count_outcomes([job[:4] for job in orphans], "crashed")
        yield from self.free_slots([job.id for job in orphans if job.lane is not None])
        yield Statement(self.sql["rescue_jobs_attempts"], params | {"ids": to_json(job.id for job in orphans)})
        yield Statement(self.sql["rescue_jobs_return"], {"ids": to_json(returned)})
        yield Statement(self.sql["rescue_jobs_dead"], params | {"ids": to_json(dead)})
        if cancelled:
            yield from self.move_cancelled(cancelled)
        yield Wake(WakeKind.READY)
        if dead:
            yield Wake(WakeKind.FINISHED, dead)
            yield from self.end_jobs([(job.id, job.workflow) for job in orphans if job.id in dead], Outcome.DEAD)
        returned += tuple(job.id for job in waiting if job.cancel_requested_at is None)
        cancelled += tuple(job.id for job in waiting if job.cancel_requested_at is not None)
        return RescueReport((), returned, dead, cancelled, tuple((job.id, job.fence) for job in orphans))

    def return_unanswered_claims(self, worker: int, known: Collection[int]) -> Verb[list[int]]:
        rows = yield Statement(self.sql["return_unanswered_claims"], {"worker": worker})
        unanswered = [(job, fence) for job, fence in rows if job not in known]
        return (yield from self.return_jobs(unanswered)) if unanswered else []

    def find_cancelled(self, worker: int) -> Verb[list[int]]:
        return [job for (job,) in (yield Statement(self.sql["find_cancelled"], {"worker": worker}))]

    def ask_worker(self, worker: int, what: str) -> Verb[bool]:
        return bool((yield Statement(self.sql["ask_worker"], {"worker": worker, "what": what})))

    def list_workers(self) -> Verb[list[WorkerRecord]]:
        return [worker_from_row(row) for row in (yield Statement(self.sql["list_workers"], {"now": self.clock.now()}))]
