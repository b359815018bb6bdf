"""The random operations: each does the same to an engine and to the model, and compares what they say."""

import json
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.contract.store import BOOM, OwnedClock, Store
from tests.model.reference import LEASE, MAX_CRASHES, PATIENCE, SECOND, Model
from turnspit.jobs import JobFilter
from turnspit.records import (
    Claim,
    ClaimRequest,
    Completion,
    Confirmation,
    Ending,
    EndingMove,
    Finish,
    JobChanges,
    NewJob,
    ProgressUpdate,
    PruneRequest,
)

TASKS = ("a", "b", "c")
QUEUES = ("q1", "q2", "q3")
KNOWN = st.frozensets(st.sampled_from(TASKS), min_size=1)
TAGS = (None, None, "import")
PAUSES = st.sampled_from([("queue", "q1"), ("task", "a"), ("tag", "import")])
DELAYS = st.sampled_from([0, 0, 0, 1, 5, 30])


def tags_of(tag: str | None) -> str | None:
    return None if tag is None else json.dumps(["other", tag])


class EngineAndModel(RuleBasedStateMachine):
    """Every claim ever made is remembered, so that old ones are tried again at any later time."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        engine, clock = self._stack.enter_context(self.new_engine()), OwnedClock()
        engine.clock = clock
        self.store, self.engine, self.clock = Store(engine, clock), engine, clock
        self.model = Model()
        self.model.now = clock.moment
        self.claims: list[Claim] = []
        self.fences: dict[int, int] = {}
        self.newest, self.after = 0, ""

    def new_engine(self) -> AbstractContextManager[Any]:
        """An empty store."""
        raise AssertionError

    def teardown(self) -> None:
        self.engine.close()
        self._stack.close()

    def write(self, verb: Any, *args: Any) -> Any:
        return self.engine.write(verb, *args)

    @initialize(tasks=KNOWN)
    def begin(self, tasks: frozenset[str]) -> None:
        self.register(tasks)

    @rule(
        task=st.sampled_from(TASKS),
        queue=st.sampled_from(QUEUES),
        priority=st.integers(-2, 2),
        delay=DELAYS,
        count=st.sampled_from([1, 1, 2, 5]),
        tag=st.sampled_from(TAGS),
    )
    def insert(self, task: str, queue: str, priority: int, delay: int, count: int, tag: str | None) -> None:
        new = NewJob(task, queue, "{}", priority, delay=delay * SECOND, tags=tags_of(tag))
        ids = (
            self.write(self.engine.insert_jobs, [new] * count)
            if count > 1
            else [self.write(self.engine.insert_job, new).id]
        )
        for job in ids:
            assert job > self.newest, "ids only grow"
            self.newest = job
            self.model.insert(job, task, queue, priority, delay * SECOND, tag)

    @rule(seconds=st.sampled_from([0.5, 1, 4, 10, 20, 100]))
    def time_passes(self, seconds: float) -> None:
        self.model.now = self.clock.advance(seconds)

    @rule()
    def promote(self) -> None:
        promoted, until_next = self.store.promote()
        assert promoted == self.model.promote()
        moments = self.model.moments()
        assert until_next == (min(moments) - self.model.now if moments else None)

    @rule(tasks=KNOWN)
    def register(self, tasks: frozenset[str]) -> None:
        self.model.register(self.store.worker(tasks, lease=LEASE), tasks)

    @rule(tasks=KNOWN, limit=st.sampled_from([1, 2, 100]))
    def admit(self, tasks: frozenset[str], limit: int) -> None:
        """Which of the held jobs come first is the engine's affair."""
        held = [job for job in self.model.unlimited() if job.task in tasks and job.paused_by is None]
        assert self.write(self.engine.admit_jobs, tasks, limit) == min(limit, len(held))
        admitted = [job for job in held if self.store.state(job.id) == "ready"]
        assert len(admitted) == min(limit, len(held))
        for job in admitted:
            job.state = "ready"

    @rule(pause=PAUSES)
    def pause(self, pause: tuple[str, str]) -> None:
        name = " ".join(pause)
        assert self.write(self.engine.pause, *pause) == (name not in self.model.pauses)
        self.model.pauses.add(name)

    @rule(pause=PAUSES)
    def resume(self, pause: tuple[str, str]) -> None:
        assert self.write(self.engine.resume, *pause) == self.model.resume(" ".join(pause))

    def worker(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.model.workers)))

    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        worker = self.worker(data)
        assert self.store.renew(worker) == self.model.renew(worker)

    @rule()
    def all_renew(self) -> None:
        for worker in self.model.live_workers():
            assert self.store.renew(worker.id) == self.model.renew(worker.id)

    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        worker = self.worker(data)
        self.write(self.engine.retire_worker, worker)
        self.model.workers[worker].stopped = True

    @rule(data=st.data(), seconds=st.sampled_from([1, 4, 16]))
    def outlive_and_rescue(self, data: st.DataObject, seconds: int) -> None:
        """One worker renews without a gap while time passes, then looks for dead ones."""
        worker = self.worker(data)
        for _ in range(seconds // 4):
            self.time_passes(4)
            assert self.store.renew(worker) == self.model.renew(worker)
        report = self.store.rescue(worker, MAX_CRASHES)
        assert tuple(map(set, report[:4])) == self.model.rescue(worker)

    @rule(data=st.data())
    def declare_dead(self, data: st.DataObject) -> None:
        """A supervisor saw a worker's process end, whatever its lease says."""
        worker = self.worker(data)
        report = self.write(self.engine.declare_dead, worker, MAX_CRASHES)
        assert tuple(map(set, report[:4])) == self.model.declare_dead(worker)

    @rule(
        data=st.data(),
        limit=st.sampled_from([1, 2, 5, 100]),
        queues=st.none() | st.sets(st.sampled_from(QUEUES), min_size=1).map(sorted),
    )
    def claim(self, data: st.DataObject, limit: int, queues: list[str] | None) -> None:
        worker = self.model.workers[self.worker(data)]
        request = ClaimRequest(worker.id, limit, worker.tasks, None if queues is None else tuple(queues), self.after)
        claims = self.write(self.engine.claim_jobs, request)
        possible = [] if worker.stopped else self.model.claimable(worker.tasks, queues)
        assert len(claims) == min(limit, len(possible))
        for queue in QUEUES:
            taken = [claim.id for claim in claims if claim.queue == queue]
            assert taken == [job.id for job in possible if job.queue == queue][: len(taken)], "by priority, then id"
        for claim in claims:
            self.model.claim(claim, worker.id)
            assert (claim.fence, claim.attempt) == (self.model.jobs[claim.id].fence, self.model.jobs[claim.id].attempt)
        self.claims += claims
        self.after = claims[-1].queue if claims else self.after
        self.hold(worker.tasks, queues, is_complete=len(claims) < limit and not worker.stopped)

    def hold(self, tasks: frozenset[str], queues: list[str] | None, *, is_complete: bool) -> None:
        """Which orphans and paused jobs a claim set aside is its own affair as long as it found enough to do."""
        for job in self.model.in_state("ready"):
            pause = self.model.pause_of(job)
            steps_aside = pause is not None or self.model.is_orphan(job, tasks)
            if steps_aside and (queues is None or job.queue in queues):
                if self.store.state(job.id) == "held":
                    job.state, job.paused_by = "held", pause
                else:
                    is_looked_at = is_complete and f"queue {job.queue}" not in self.model.pauses
                    assert not is_looked_at, f"job {job.id}, which nobody may run, was left to slow later claims"

    def is_unlimited(self, claim: Claim) -> bool:
        job = self.model.jobs.get(claim.id)
        return job is not None and job.lane is None

    def interesting(self) -> list[Claim]:
        """Claims, current or not, of jobs that run now; else the latest."""
        running = {job.id for job in self.model.in_state("running")}
        return [claim for claim in self.claims if claim.id in running][-12:] or self.claims[-12:]

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), delay=DELAYS)
    def finish(self, data: st.DataObject, delay: int) -> None:
        """Of any claim ever made, current or not."""
        finishes: list[Finish] = []
        lost = []
        chosen = data.draw(
            st.lists(st.sampled_from(self.interesting()), min_size=1, max_size=4, unique_by=lambda c: c.id)
        )
        moves = [data.draw(st.sampled_from([None, None, "confirm", *EndingMove])) for _ in chosen]
        for claim, move in sorted(zip(chosen, moves, strict=True), key=lambda pair: pair[1] is not None):
            if move is None:
                finishes.append(Completion(claim.id, claim.fence, "1"))
                is_lost = self.model.complete(claim)
            elif move == "confirm":
                otherwise = Ending(claim.id, claim.fence, EndingMove.RETRY, BOOM)
                finishes.append(Confirmation(claim.id, claim.fence, otherwise))
                is_lost = self.model.confirm(claim, EndingMove.RETRY)
            else:
                finishes.append(Ending(claim.id, claim.fence, move, BOOM, delay * SECOND, PATIENCE))
                is_lost = self.model.end(claim, move, delay * SECOND)
            lost += [(claim.id, claim.fence)] if is_lost else []
        report = self.write(self.engine.finish_jobs, finishes)
        assert sorted(report.lost) == sorted(lost)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), confirms=st.booleans())
    def finish_in_a_transaction(self, data: st.DataObject, confirms: bool) -> None:
        """As ``job.finish(tx)`` does, whose worker may die before it confirms."""
        claim = data.draw(st.sampled_from(self.interesting()))
        is_current = self.model.finish_in_transaction(claim)
        assert self.write(self.engine.finish_job, Completion(claim.id, claim.fence, "1")) == is_current
        if confirms:
            self.confirm(claim)

    def confirm(self, claim: Claim) -> None:
        otherwise = Ending(claim.id, claim.fence, EndingMove.DEAD, BOOM)
        report = self.write(self.engine.finish_jobs, [Confirmation(claim.id, claim.fence, otherwise)])
        assert bool(report.lost) == self.model.confirm(claim, EndingMove.DEAD)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def replay_and_confirm(self, data: st.DataObject) -> None:
        """A job that was completed is replayed and claimed anew, and the new claim's transaction fails."""
        claim = data.draw(st.sampled_from(self.interesting()))
        if self.is_unlimited(claim) and self.model.finish_in_transaction(claim):
            assert self.write(self.engine.finish_job, Completion(claim.id, claim.fence, "1"))
            is_replayed = self.model.replay(claim.id)
            assert bool(self.store.replay(claim.id)) == is_replayed
            if is_replayed:
                self.claim_chosen(data, claim.id)
                self.confirm(self.claims[-1])

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def claim_any(self, data: st.DataObject) -> None:
        """As the test kit does, which asks no limit."""
        job = self.job(data)
        if self.model.jobs[job].lane is None:
            self.claim_chosen(data, job)

    def claim_chosen(self, data: st.DataObject, chosen: int) -> None:
        worker, job = self.model.workers[self.worker(data)], self.model.jobs[chosen]
        claims = self.write(self.engine.claim_jobs, ClaimRequest(worker.id, 1, worker.tasks, None, "", job.id))
        assert len(claims) == (job in self.model.claimable(worker.tasks, None) and not worker.stopped)
        for claim in claims:
            self.model.claim(claim, worker.id)
        self.claims += claims

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        claims = data.draw(
            st.lists(st.sampled_from(self.interesting()), min_size=1, max_size=4, unique_by=lambda c: c.id)
        )
        returned = self.store.give_back(*claims)
        assert sorted(returned) == sorted(claim.id for claim in claims if self.model.give_back(claim))

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def progress(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.interesting()))
        report = self.write(self.engine.record_progress, [ProgressUpdate(claim.id, claim.fence, 0.5, None)])
        assert not report.locked
        assert bool(report.lost) == (not self.model.is_current(claim))

    @rule(data=st.data())
    def return_unanswered(self, data: st.DataObject) -> None:
        worker = self.worker(data)
        owned = [job for job in self.model.in_state("running") if job.worker == worker]
        known = data.draw(st.sets(st.sampled_from([job.id for job in owned]))) if owned else set()
        returned = self.write(self.engine.return_unanswered_claims, worker, known)
        assert sorted(returned) == sorted(job.id for job in owned if job.id not in known)
        for job in owned:
            if job.id not in known:
                assert self.model.give_back(Claim._make((job.id, job.fence, *(None,) * (len(Claim._fields) - 2))))

    def job(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.model.jobs)))

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job = self.job(data)
        assert bool(self.store.cancel(job)) == self.model.cancel(job)

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        job = self.job(data)
        assert bool(self.store.replay(job)) == self.model.replay(job)

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        job = self.job(data)
        assert bool(self.store.delete(job)) == self.model.delete(job)

    @rule(queue=st.sampled_from(QUEUES), verb=st.sampled_from(["cancel", "replay", "delete"]))
    def do_by_filter(self, queue: str, verb: str) -> None:
        done = getattr(self.store, verb)(queue=queue)
        of_queue = sorted(job.id for job in self.model.jobs.values() if job.queue == queue)
        expected = [job for job in of_queue if getattr(self.model, verb)(job)]
        assert [each[0] if isinstance(each, tuple) else each for each in done] == expected

    @precondition(lambda self: self.model.jobs)
    @rule(
        data=st.data(),
        queue=st.none() | st.sampled_from(QUEUES),
        priority=st.none() | st.integers(-2, 2),
        delay=st.none() | DELAYS,
    )
    def update(self, data: st.DataObject, queue: str | None, priority: int | None, delay: int | None) -> None:
        job = self.job(data)
        delay = None if delay is None else delay * SECOND
        state = self.write(self.engine.update_job, job, JobChanges(priority, queue, None, delay))
        assert state == self.model.update(job, queue, priority, delay)

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def run_now(self, data: st.DataObject) -> None:
        job = self.job(data)
        done = dict(self.write(self.engine.run_jobs_now, JobFilter(id=job), 0, 1))
        assert done.get(job) == self.model.update(job, None, None, 0)

    @rule(history=st.sampled_from([0, 50, 500]), dead=st.sampled_from([0, 50, 500]))
    def prune(self, history: int, dead: int) -> None:
        request = PruneRequest(history * SECOND, dead * SECOND)
        assert self.write(self.engine.prune_jobs, request) == self.model.prune(history * SECOND, dead * SECOND)

    @rule()
    def close(self) -> None:
        self.engine.close()

    @rule(data=st.data())
    def look(self, data: st.DataObject) -> None:
        """What workers and people ask for."""
        read, engine, worker = self.engine.read, self.engine, self.worker(data)
        running = [job for job in self.model.in_state("running") if job.worker == worker and job.cancel_requested]
        assert sorted(read(engine.find_cancelled, worker)) == sorted(job.id for job in running)
        for state in ("ready", "scheduled", "held", "running", "dead", "completed", "cancelled"):
            assert read(engine.count_jobs, JobFilter(state=state)) == len(self.model.in_state(state))
        tasks = self.model.workers[worker].tasks
        waiting = [job for job in self.model.in_state("ready") if not self.model.is_paused(job)]
        busy = [job for job in waiting + self.model.in_state("running") if job.task in tasks]
        limited = [job for job in self.model.in_state("held") if job.lane is not None and not self.model.is_paused(job)]
        assert read(engine.count_ready_or_running, None, tasks) == len(busy) + any(job.task in tasks for job in limited)
        later = [job.run_at for job in self.model.in_state("scheduled") if job.task in tasks]
        assert read(engine.count_scheduled, None, tasks) == (len(later), min(later, default=None))
        queues = [job.queue for job in self.model.in_state("ready", "held")]
        assert [read(engine.count_waiting, queue, 1000) for queue in QUEUES] == [queues.count(each) for each in QUEUES]
        duties = read(engine.find_duties, worker, None, tasks)
        assert duties.ready == bool(self.model.in_state("ready"))
        assert duties.owned == sum(job.worker == worker for job in self.model.in_state("running"))
        assert duties.held == any(job.task in tasks for job in self.model.unlimited() if job.paused_by is None)
        assert {f"{pause.kind} {pause.name}" for pause in read(engine.list_pauses)} == self.model.pauses
        for stats in read(engine.list_queues):
            here = [job.state for job in self.model.jobs.values() if job.queue == stats.queue]
            told = (stats.ready, stats.scheduled + stats.retrying, stats.held, stats.running, stats.dead)
            assert told == tuple(here.count(each) for each in ("ready", "scheduled", "held", "running", "dead"))
        for stats in read(engine.list_tasks):
            here = [job.state for job in self.model.jobs.values() if job.task == stats.task]
            told = (stats.ready, stats.scheduled, stats.held, stats.running, stats.dead)
            assert told == tuple(here.count(each) for each in ("ready", "scheduled", "held", "running", "dead"))

    @invariant()
    def both_tell_the_same(self) -> None:
        records = self.engine.read(self.engine.list_jobs, JobFilter(), 1000, None)
        assert [record.id for record in records] == sorted(self.model.jobs, reverse=True)
        for record in records:
            job = self.model.jobs[record.id]
            told = (record.state, record.attempt, record.fence, record.crashes, record.queue, record.priority)
            assert told == (job.state, job.attempt, job.fence, job.crashes, job.queue, job.priority), record
            latest = [job.state] if job.state in ("running", "completed") else []
            assert [attempt.outcome for attempt in record.attempts] == job.outcomes + latest
            assert record.state != "scheduled" or record.run_at == job.run_at
            assert record.expires_at == (None if job.is_final and job.state != "dead" else job.expires_at)
            assert record.fence >= self.fences.get(record.id, 0), "a fence never goes back"
            self.fences[record.id] = record.fence
