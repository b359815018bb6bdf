"""Random operations with limits: which lane comes first is the engine's affair, but no limit is ever broken."""

from collections import Counter, defaultdict
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.model.machine import BOOM, DELAYS, TAGS, EngineAndModel, tags_of
from tests.model.reference import SECOND, ModelJob
from turnspit.records import Ending, EndingMove, Lane, LimitChange, LimitedRequest, LimitRule, NewJob

RATE = LimitRule("rate", "rate", 2, 10 * SECOND)
BURST = LimitRule("burst", "burst", 4, 20 * SECOND, 1)
ONE = LimitRule("one", "one", 1, 0)
TWO = LimitRule("two", "two", 2, 0)
FIRST = LimitRule("first", "first", 1, 0)
LANES = (
    Lane("q1", "a", (RATE,)),
    Lane("q2", "a", (RATE, TWO)),
    Lane("q2", "b", (ONE,)),
    Lane("q3", "b", (ONE, BURST)),
    Lane("q3", "c", (), "c [1]"),
    Lane("q1", "c", (FIRST,), None, "first"),
    Lane("q2", "b", (FIRST, RATE), None, "first"),
)
EVERYTHING = 1000


class WithLimits(EngineAndModel):
    """Jobs that wait for their limits."""

    def __init__(self) -> None:
        super().__init__()
        self.allowed = {rule.name: rule.allowed for lane in LANES for rule in lane.rules}
        self.admitted: dict[str, list[int]] = defaultdict(list)
        self.held_back_until: Counter[str] = Counter()

    @rule(
        lane=st.sampled_from(LANES),
        priority=st.integers(-2, 2),
        delay=DELAYS,
        count=st.sampled_from([1, 3]),
        tag=st.sampled_from(TAGS),
    )
    def insert_limited(self, lane: Lane, priority: int, delay: int, count: int, tag: str | None) -> None:
        new = NewJob[Any](
            lane.task, lane.queue, "{}", priority, delay=delay * SECOND, tags=tags_of(tag), lane=lane.to_text()
        )
        for job in self.write(self.engine.insert_jobs, [new] * count):
            self.newest = job
            self.model.insert(job, lane.task, lane.queue, priority, delay * SECOND, tag, lane)

    @rule(data=st.data(), slots=st.sampled_from([1, 3, EVERYTHING]))
    def claim_limited(self, data: st.DataObject, slots: int) -> None:
        worker = self.model.workers[self.worker(data)]
        request = LimitedRequest(worker.id, slots, worker.tasks)
        waiting = self.waiting(worker.tasks)
        claims = self.write(self.engine.claim_limited_jobs, request).claims
        assert not (claims and worker.stopped)
        assert len(claims) <= slots
        for lane in LANES:
            taken = [claim.id for claim in claims if claim.lane == lane.to_text()]
            first = sorted(waiting[lane], key=lambda job: (-job.priority, job.id))
            assert taken == [job.id for job in first][: len(taken)], "by priority, then id"
        for claim in claims:
            self.model.claim(claim, worker.id)
            lane = self.model.jobs[claim.id].lane
            assert lane is not None
            for each in lane.rules:
                assert self.has_room(each), f"job {claim.id} broke {each}"
                self.admitted[each.key].append(self.model.now)
        self.claims += claims
        if slots == EVERYTHING and not worker.stopped:
            self.nothing_waits_without_a_reason(worker.tasks)

    def waiting(self, tasks: frozenset[str]) -> dict[Lane, list[ModelJob]]:
        """Of each lane, the jobs that only its limits may keep from starting."""
        waiting: dict[Lane, list[ModelJob]] = {lane: [] for lane in LANES}
        for job in self.model.in_state("held"):
            if job.lane is None or job.task not in tasks or self.model.is_paused(job) or self.model.is_late(job):
                continue
            if job.lane.order is None or job is self.model.head(job.lane.order):
                waiting[job.lane].append(job)
        return waiting

    def has_room(self, limit: LimitRule, *, taken: int = 0) -> bool:
        """Whether one more may begin, or has just been let in."""
        allowed = self.allowed[limit.name]
        if not limit.is_rate:
            return self.taken(limit.key) + taken <= allowed
        windows = [(allowed, limit.per)]
        if limit.burst is not None and limit.burst < allowed:
            windows.append((limit.burst, limit.per * limit.burst // allowed))
        admitted = self.admitted[limit.key]
        return self.held_back_until[limit.key] <= self.model.now and all(
            sum(moment > self.model.now - window for moment in admitted) < most for most, window in windows
        )

    def taken(self, key: str) -> int:
        """The jobs that run under a concurrency key, and those whose transaction nobody has confirmed."""
        jobs = {job.id for job in self.model.in_state("running")} | {job for job, _ in self.model.outbox}
        return sum(1 for job in jobs if key in self.keys_of(job))

    def keys_of(self, job: int) -> list[str]:
        known = self.model.jobs.get(job)
        lane = self.lanes_of.get(job) if known is None else known.lane
        return [] if lane is None else [rule.key for rule in lane.rules if not rule.is_rate]

    def nothing_waits_without_a_reason(self, tasks: frozenset[str]) -> None:
        for lane, jobs in self.waiting(tasks).items():
            if lane.order is not None:
                continue  # it may have waited for a job that a person has ended: it is looked at again in a while
            if self.model.replayed_early and not all(each.is_rate for each in lane.rules):
                continue  # its slot is found to be free when its newer run has ended
            assert not jobs or not all(self.has_room(each, taken=1) for each in lane.rules), f"{lane} waits for nothing"

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), seconds=st.sampled_from([0, 5, 30]))
    def hold_back(self, data: st.DataObject, seconds: int) -> None:
        """The partner said: too many."""
        claim = data.draw(st.sampled_from(self.interesting()))
        lane = None
        if self.model.is_current(claim):
            lane = self.model.jobs[claim.id].lane
        ending = Ending(claim.id, claim.fence, EndingMove.SNOOZE, BOOM, seconds * SECOND, holds_back=True)
        report = self.write(self.engine.finish_jobs, [ending])
        assert bool(report.lost) == self.model.end(claim, EndingMove.SNOOZE, seconds * SECOND)
        for each in lane.rules if lane is not None else ():
            if each.is_rate:
                until = max(self.held_back_until[each.key], self.model.now + seconds * SECOND)
                self.held_back_until[each.key] = until

    @rule(limit=st.sampled_from([RATE, BURST]))
    def acquire(self, limit: LimitRule) -> None:
        """For code outside jobs."""
        has_room = self.has_room(limit)
        assert (self.write(self.engine.acquire_permit, limit) == 0) == has_room
        if has_room:
            self.admitted[limit.key].append(self.model.now)

    @rule(limit=st.sampled_from([RATE, BURST, ONE, TWO]), allowed=st.integers(1, 6))
    def set_limit(self, limit: LimitRule, allowed: int) -> None:
        self.write(self.engine.set_limit, LimitChange(limit.name, allowed, limit.per, limit.burst))
        self.allowed[limit.name] = allowed
        changed = {change.name: change.allowed for change in self.engine.read(self.engine.list_limits)}
        assert changed.items() <= self.allowed.items()

    @rule(limit=st.sampled_from([RATE, BURST, ONE, TWO]))
    def reset_limit(self, limit: LimitRule) -> None:
        self.write(self.engine.reset_limit, limit.name)
        self.allowed[limit.name] = limit.allowed

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def assign_lane(self, data: st.DataObject) -> None:
        """A job from a producer that knew no limits."""
        claim = data.draw(st.sampled_from(self.interesting()))
        lane = next((each for each in LANES if each.task == claim.task), None)
        if lane is None or claim.lane is not None:
            return
        assigned = self.write(self.engine.assign_lanes, [(claim.id, claim.fence, lane.to_text())])
        if self.model.is_current(claim):
            self.model.jobs[claim.id].lane = lane
        assert assigned == self.model.give_back(claim)

    @rule()
    def prune_limits(self) -> None:
        """It forgets only what counts no more."""
        self.write(self.engine.prune_limits, 100)

    @property
    def lanes_of(self) -> dict[int, Lane]:
        return {claim.id: Lane.from_text(claim.lane) for claim in self.claims if claim.lane is not None}
