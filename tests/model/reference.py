"""The model: what jobs and workers do, in the plainest Python, one dictionary of each."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from turnspit.records import Claim, EndingMove

SECOND = 1_000_000
LEASE = 15 * SECOND
MAX_CRASHES = 1
PATIENCE = 60 * SECOND


@dataclass
class ModelJob:
    id: int
    task: str
    queue: str
    priority: int
    state: str
    run_at: int
    tag: str | None = None
    paused_by: str | None = None
    attempt: int = 0
    fence: int = 0
    crashes: int = 0
    worker: int | None = None
    cancel_requested: bool = False
    invalid_since: int | None = None
    finished_at: int = 0
    outcomes: list[str] = field(default_factory=list)

    @property
    def is_final(self) -> bool:
        return self.state in ("completed", "cancelled", "dead")


@dataclass
class ModelWorker:
    id: int
    tasks: frozenset[str]
    renewed_at: int
    gapless_since: int
    stopped: bool = False


class Model:
    """Each method is a verb of the contract, and changes the model as the contract's sentences say."""

    def __init__(self) -> None:
        self.jobs: dict[int, ModelJob] = {}
        self.workers: dict[int, ModelWorker] = {}
        self.outbox: set[tuple[int, int]] = set()
        self.owner: dict[tuple[int, int], int] = {}
        self.pauses: set[str] = set()
        self.now = 0

    def insert(self, job: int, task: str, queue: str, priority: int, delay: int, tag: str | None) -> None:
        state = "scheduled" if delay else "ready"
        self.jobs[job] = ModelJob(job, task, queue, priority, state, self.now + delay, tag)

    def in_state(self, *states: str) -> list[ModelJob]:
        return [job for job in self.jobs.values() if job.state in states]

    def live_workers(self) -> list[ModelWorker]:
        return [worker for worker in self.workers.values() if not worker.stopped]

    def pause_of(self, job: ModelJob) -> str | None:
        """The pause for which it steps aside."""
        names = [f"task {job.task}", f"tag {job.tag}"]
        return next((name for name in names if name in self.pauses), None)

    def is_paused(self, job: ModelJob) -> bool:
        return f"queue {job.queue}" in self.pauses or self.pause_of(job) is not None

    def resume(self, pause: str) -> bool:
        if pause not in self.pauses:
            return False
        self.pauses.remove(pause)
        for job in self.in_state("held"):
            if job.paused_by == pause:
                job.state, job.paused_by = "ready", None
        return True

    def claimable(self, tasks: Collection[str], queues: Sequence[str] | None) -> list[ModelJob]:
        served = [job for job in self.in_state("ready") if queues is None or job.queue in queues]
        served = [job for job in served if not self.is_paused(job)]
        return sorted((job for job in served if job.task in tasks), key=lambda job: (-job.priority, job.id))

    def is_orphan(self, job: ModelJob, tasks: Collection[str]) -> bool:
        """Whether no live worker knows its task."""
        return job.task not in tasks and not any(job.task in worker.tasks for worker in self.live_workers())

    def claim(self, claim: Claim, worker: int) -> None:
        job = self.jobs[claim.id]
        job.state, job.worker = "running", worker
        job.fence += 1
        self.owner[job.id, job.fence] = worker
        job.attempt += 1

    def is_current(self, claim: Claim) -> bool:
        job = self.jobs.get(claim.id)
        return job is not None and job.state == "running" and job.fence == claim.fence

    def completed_under(self, claim: Claim) -> bool:
        job = self.jobs.get(claim.id)
        return job is not None and job.state == "completed" and job.fence == claim.fence

    def _finish(self, job: ModelJob, state: str) -> None:
        job.state, job.finished_at = state, self.now

    def complete(self, claim: Claim) -> bool:
        """Whether the finish is lost."""
        if not self.is_current(claim):
            return not self.completed_under(claim)
        self._finish(self.jobs[claim.id], "completed")
        return False

    def confirm(self, claim: Claim, otherwise: EndingMove) -> bool:
        """Whether the confirmation is lost."""
        name = (claim.id, claim.fence)
        if name in self.outbox or self.completed_under(claim):
            self.outbox.discard(name)
            return False
        return self.end(claim, otherwise, 0)

    def finish_in_transaction(self, claim: Claim) -> bool:
        """Whether the claim was current."""
        if not self.is_current(claim):
            return False
        self.complete(claim)
        self.outbox.add((claim.id, claim.fence))
        return True

    def end(self, claim: Claim, move: EndingMove, delay: int) -> bool:
        """Whether the finish is lost."""
        if not self.is_current(claim):
            return True
        job = self.jobs[claim.id]
        since = self.now if job.invalid_since is None else job.invalid_since
        if move is EndingMove.INVALID and self.now - since >= PATIENCE:
            move = EndingMove.DEAD
        job.outcomes.append(str(move))
        if move is EndingMove.DEAD:
            self._finish(job, "dead")
        elif move is EndingMove.CANCEL or job.cancel_requested:
            self._finish(job, "cancelled")
        else:
            job.state, job.run_at = ("scheduled" if delay else "ready"), self.now + delay
            job.invalid_since = since if move is EndingMove.INVALID else None
            job.attempt -= move is not EndingMove.RETRY
        return False

    def give_back(self, claim: Claim) -> bool:
        if not self.is_current(claim):
            return False
        job = self.jobs[claim.id]
        job.attempt -= 1
        self._ready_or_cancelled(job)
        return True

    def _ready_or_cancelled(self, job: ModelJob) -> None:
        if job.cancel_requested:
            self._finish(job, "cancelled")
        else:
            job.state = "ready"

    def promote(self) -> int:
        due = [job for job in self.in_state("scheduled") if job.run_at <= self.now]
        for job in due:
            job.state = "ready"
        return len(due)

    def register(self, worker: int, tasks: frozenset[str]) -> None:
        self.workers[worker] = ModelWorker(worker, tasks, self.now, self.now)
        for job in self.in_state("held"):
            if job.task in tasks and job.paused_by is None:
                job.state = "ready"

    def renew(self, worker: int) -> bool:
        known = self.workers[worker]
        if known.stopped:
            return False
        if self.now >= known.renewed_at + LEASE:
            known.gapless_since = self.now
        known.renewed_at = self.now
        return True

    def rescue(self, worker: int) -> tuple[set[int], set[int], set[int], set[int]]:
        """Workers declared dead; jobs returned, dead, cancelled."""
        rescuer = self.workers[worker]
        has_lease = not rescuer.stopped and self.now < rescuer.renewed_at + LEASE
        declared = set()
        if has_lease and self.now - rescuer.gapless_since >= LEASE:
            for other in self.live_workers():
                if other is not rescuer and self.now >= other.renewed_at + LEASE:
                    other.stopped = True
                    declared.add(other.id)
        return self._return_jobs(declared)

    def declare_dead(self, worker: int) -> tuple[set[int], set[int], set[int], set[int]]:
        """As ``rescue``, of a worker that was seen to die."""
        known = self.workers[worker]
        declared = set() if known.stopped else {worker}
        known.stopped = True
        return self._return_jobs(declared)

    def _return_jobs(self, declared: set[int]) -> tuple[set[int], set[int], set[int], set[int]]:
        alive = {each.id for each in self.live_workers()}
        self.outbox = {each for each in self.outbox if self.owner[each] in alive}
        orphans = [job for job in self.in_state("running") if job.worker not in alive]
        ended: dict[str, set[int]] = {"ready": set(), "dead": set(), "cancelled": set()}
        for job in orphans:
            self._crash(job)
            ended[job.state].add(job.id)
        return declared, ended["ready"], ended["dead"], ended["cancelled"]

    def _crash(self, job: ModelJob) -> None:
        job.outcomes.append("crashed")
        if not job.cancel_requested:
            job.attempt -= 1
            job.crashes += 1
        if not job.cancel_requested and job.crashes > MAX_CRASHES:
            self._finish(job, "dead")
        else:
            self._ready_or_cancelled(job)

    def cancel(self, job: int) -> bool:
        known = self.jobs[job]
        if known.is_final or known.cancel_requested:
            return False
        if known.state == "running":
            known.cancel_requested = True
        else:
            self._finish(known, "cancelled")
        return True

    def replay(self, job: int) -> bool:
        known = self.jobs[job]
        if not known.is_final:
            return False
        if known.state == "completed":
            known.outcomes.append("completed")
        known.state, known.run_at, known.attempt, known.crashes = "ready", self.now, 0, 0
        known.cancel_requested, known.invalid_since = False, None
        return True

    def delete(self, job: int) -> bool:
        if self.jobs[job].state == "running":
            return False
        del self.jobs[job]
        return True

    def update(self, job: int, queue: str | None, priority: int | None, delay: int | None) -> str | None:
        known = self.jobs[job]
        if known.state not in ("ready", "scheduled", "held"):
            return None
        known.queue = queue or known.queue
        known.priority = known.priority if priority is None else priority
        if delay is not None:
            known.state, known.run_at = ("scheduled" if delay else "ready"), self.now + delay
        if delay is not None or queue is not None:
            known.paused_by = None
        return known.state

    def prune(self, history: int, dead: int) -> int:
        old = [job.id for job in self.in_state("completed", "cancelled") if job.finished_at <= self.now - history]
        old += [job.id for job in self.in_state("dead") if job.finished_at <= self.now - dead]
        for job in old:
            del self.jobs[job]
        return len(old)
