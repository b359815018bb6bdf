"""The model: what jobs and workers do, in the plainest Python, one dictionary of each."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from turnspit.records import Claim, EndingMove, Lane

SECOND = 1_000_000
LEASE = 15 * SECOND
MAX_CRASHES = 1
PATIENCE = 60 * SECOND
LIVE = ("scheduled", "held", "ready", "running")


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
    lane: Lane | None = None
    key: str | None = None
    expires_at: int | None = None
    begun: bool = False
    attempt: int = 0
    fence: int = 0
    crashes: int = 0
    worker: int | None = None
    cancel_requested: bool = False
    invalid_since: int | None = None
    started_at: int = 0
    finished_at: int = 0
    outcomes: list[str] = field(default_factory=list)

    @property
    def is_final(self) -> bool:
        return self.state in ("completed", "cancelled", "dead")

    @property
    def claim_order(self) -> tuple[int, int]:
        return self.started_at, self.id

    def become_ready(self) -> None:
        """Or wait for its limits."""
        self.state = "ready" if self.lane is None else "held"

    def wait(self, delay: int, now: int) -> None:
        self.run_at = now + delay
        if delay:
            self.state = "scheduled"
        else:
            self.become_ready()


@dataclass
class ModelKey:
    """Who holds a unique key: in these states, and in any until then."""

    job: int
    states: Collection[str]
    until: int


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
        self.outbox, self.ended = set[tuple[int, int]](), set[tuple[int, int]]()
        self.owner: dict[tuple[int, int], int] = {}
        self.pauses: set[str] = set()
        self.keys: dict[str, ModelKey] = {}
        self.replayed_early = False
        """Whether a job was replayed before its end by ``finish_in_transaction`` was confirmed."""
        self.now = 0

    def insert(
        self,
        job: int,
        task: str,
        queue: str,
        priority: int,
        delay: int,
        tag: str | None = None,
        lane: Lane | None = None,
    ) -> None:
        self.jobs[job] = ModelJob(job, task, queue, priority, "", 0, tag, lane=lane)
        self.jobs[job].wait(delay, self.now)

    def is_late(self, job: ModelJob) -> bool:
        return job.expires_at is not None and job.expires_at <= self.now

    def in_state(self, *states: str) -> list[ModelJob]:
        return [job for job in self.jobs.values() if job.state in states]

    def unlimited(self) -> list[ModelJob]:
        """Held jobs that do not wait for limits."""
        return [job for job in self.in_state("held") if job.lane is None]

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
                job.paused_by = None
                job.become_ready()
        return True

    def head(self, order: str) -> ModelJob | None:
        """Of jobs that run in order, the one that nobody may overtake."""
        behind = [job for job in self.in_state("held", "running", "scheduled") if job.state != "scheduled" or job.begun]
        here = [job for job in behind if job.lane is not None and job.lane.order == order]
        return min(here, key=lambda job: job.id, default=None)

    def claimable(self, tasks: Collection[str], queues: Sequence[str] | None) -> list[ModelJob]:
        served = [job for job in self.in_state("ready") if queues is None or job.queue in queues]
        served = [job for job in served if not self.is_paused(job) and not self.is_late(job)]
        return sorted((job for job in served if job.task in tasks), key=lambda job: (-job.priority, job.id))

    def is_orphan(self, job: ModelJob, tasks: Collection[str]) -> bool:
        """Whether no live worker knows its task."""
        return job.task not in tasks and not any(job.task in worker.tasks for worker in self.live_workers())

    def claim(self, claim: Claim, worker: int) -> None:
        job = self.jobs[claim.id]
        job.state, job.worker, job.begun, job.started_at = "running", worker, True, self.now
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
            return claim.id not in self.jobs or (claim.id, claim.fence) not in self.ended
        self.ended.add((claim.id, claim.fence))
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
            job.wait(delay, self.now)
            job.expires_at = None
            job.invalid_since = since if move is EndingMove.INVALID else None
            job.attempt -= move is not EndingMove.RETRY
        return False

    def give_back(self, claim: Claim) -> bool:
        if not self.is_current(claim):
            return False
        job = self.jobs[claim.id]
        job.attempt, job.begun = job.attempt - 1, False
        self._ready_or_cancelled(job)
        return True

    def _ready_or_cancelled(self, job: ModelJob) -> None:
        if job.cancel_requested:
            self._finish(job, "cancelled")
        else:
            job.become_ready()

    def promote(self) -> int:
        due = [job for job in self.in_state("scheduled") if job.run_at <= self.now]
        for job in due:
            job.become_ready()
        for job in filter(self.is_late, self.in_state("ready", "scheduled", "held")):
            self._finish(job, "cancelled")
        return len(due)

    def moments(self) -> list[int]:
        """When jobs become due and expire."""
        waiting = self.in_state("ready", "held", "scheduled")
        ends = [job.expires_at for job in waiting if job.expires_at is not None]
        return ends + [job.run_at for job in waiting if job.state == "scheduled"]

    def register(self, worker: int, tasks: frozenset[str]) -> None:
        self.workers[worker] = ModelWorker(worker, tasks, self.now, self.now)
        for job in self.unlimited():
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
        has_lease = not rescuer.stopped and self.now <= rescuer.renewed_at + LEASE // 2
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
        never_begun: list[ModelJob] = []
        ended: dict[str, set[int]] = {"returned": set(), "dead": set(), "cancelled": set()}
        for job in orphans:
            earlier = [each for each in orphans if each.worker == job.worker and each.claim_order < job.claim_order]
            if job.crashes and any(each.crashes for each in earlier):
                never_begun.append(job)
        for job in orphans:
            if job in never_begun:
                job.attempt -= 1
                self._ready_or_cancelled(job)
            else:
                self._crash(job)
            ended["returned" if not job.is_final else job.state].add(job.id)
        return declared, ended["returned"], ended["dead"], ended["cancelled"]

    def _crash(self, job: ModelJob) -> None:
        job.outcomes.append("crashed")
        if not job.cancel_requested:
            job.attempt -= 1
            job.crashes += 1
        if not job.cancel_requested and job.crashes > MAX_CRASHES:
            self._finish(job, "dead")
        else:
            job.expires_at, job.begun = None, False
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
        if not known.is_final or not self._takes_key_again(known):
            return False
        self.replayed_early = self.replayed_early or any(job == ended for ended, _ in self.outbox)
        if known.state == "completed":
            known.outcomes.append("completed")
        known.wait(0, self.now)
        known.attempt, known.crashes, known.begun = 0, 0, False
        known.cancel_requested, known.invalid_since, known.expires_at = False, None, None
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
        if queue is not None and known.lane is not None:
            known.lane = None  # it is that of another queue
            known.state = "ready" if known.state == "held" else known.state
        if delay is not None:
            known.wait(delay, self.now)
        if delay is not None or queue is not None:
            known.paused_by = None
        return known.state

    def prune(self, history: int, dead: int) -> int:
        old = [job.id for job in self.in_state("completed", "cancelled") if job.finished_at <= self.now - history]
        old += [job.id for job in self.in_state("dead") if job.finished_at <= self.now - dead]
        for job in old:
            del self.jobs[job]
        return len(old)

    # Unique keys

    def holder(self, key: str) -> ModelJob | None:
        held = self.keys.get(key)
        job = None if held is None else self.jobs.get(held.job)
        return job if job is not None and held is not None and self._holds(held, job) else None

    def _holds(self, held: ModelKey, job: ModelJob) -> bool:
        return held.until > self.now or job.state in held.states

    def take_key(self, key: str, job: int, states: Collection[str], within: int) -> None:
        self.keys[key] = ModelKey(job, states, self.now + within)
        self.jobs[job].key = key

    def replace(self, job: ModelJob, queue: str, priority: int, delay: int) -> bool:
        """Whether it had not begun, and is now the newer one."""
        if job.state not in ("scheduled", "held", "ready"):
            return False
        job.queue, job.priority, job.tag, job.attempt = queue, priority, None, 0
        job.paused_by = job.expires_at = job.lane = None
        job.wait(delay, self.now)
        return True

    def settle_key(self, claim: Claim, key: str, states: Collection[str]) -> bool:
        """Whether the job of a producer that knew no key goes on, as the holder of this one."""
        if not self.is_current(claim):
            return False
        job = self.jobs[claim.id]
        job.key = key
        holder = self.holder(key)
        if holder is not None and holder is not job:
            self.give_back(claim)
            if not job.is_final:
                self._finish(job, "cancelled")
            return False
        self.take_key(key, job.id, states, 0)
        return True

    def _takes_key_again(self, job: ModelJob) -> bool:
        """A final job that is to live again, if nobody else has its key."""
        if job.key is None:
            return True
        holder = self.holder(job.key)
        if holder is not None and holder is not job:
            return False
        self.take_key(job.key, job.id, LIVE, 0)
        return True
