"""Limits: rates, concurrency and turns, on every engine."""

import pytest

from tests.contract.store import BOOM, SECOND, TASKS, OwnedClock, Store
from turnspit.clock import from_moment
from turnspit.contract.verbs import Wake, WakeKind
from turnspit.jobs import JobFilter
from turnspit.records import (
    Claim,
    Completion,
    Confirmation,
    Ending,
    EndingMove,
    FullKey,
    JobChanges,
    Lane,
    LimitChange,
    LimitedRequest,
    LimitRule,
    NewJob,
    NewWorker,
)
from turnspit.states import JobState

RATE = LimitRule("send rate", "send rate", 2, SECOND)
ONE = LimitRule("send concurrency", "send concurrency", 1, 0)


def lane(*rules: LimitRule, fair: str | None = None, task: str = "send", queue: str = "default") -> str:
    return Lane(queue, task, rules, fair).to_text()


def claim(store: Store, slots: int = 10, worker: int | None = None, tasks: frozenset[str] = TASKS) -> list[Claim]:
    worker = store.default_worker if worker is None else worker
    request = LimitedRequest(worker, slots, tasks)
    return list(store.engine.write(store.engine.claim_limited_jobs, request).claims)


def until_next(store: Store) -> int | None:
    request = LimitedRequest(store.default_worker, 10, TASKS)
    found = store.engine.write(store.engine.claim_limited_jobs, request)
    assert not found.claims
    return found.until_next


def test_a_limited_job_is_held_where_no_other_claim_finds_it(store: Store) -> None:
    job = store.insert(lane=lane(RATE))
    assert store.state(job) is JobState.HELD
    assert store.claim(10) == []
    [claimed] = claim(store)
    assert (claimed.id, claimed.attempt, claimed.lane) == (job, 1, lane(RATE))
    assert store.state(job) is JobState.RUNNING


def test_a_rate_lets_its_number_through_and_says_when_the_next_may_begin(store: Store, clock: OwnedClock) -> None:
    jobs = [store.insert(lane=lane(RATE)) for _ in range(5)]
    assert [each.id for each in claim(store)] == jobs[:2]
    clock.advance(0.25)
    assert until_next(store) == 750_000
    clock.advance(0.75)
    assert [each.id for each in claim(store)] == jobs[2:4]


def test_a_rate_counts_starts_not_ends(store: Store) -> None:
    for _ in range(4):
        store.insert(lane=lane(RATE))
    store.complete(*claim(store))
    assert claim(store) == []


def test_a_burst_is_a_smaller_window(store: Store, clock: OwnedClock) -> None:
    rule = RATE._replace(allowed=10, burst=1)
    for _ in range(3):
        store.insert(lane=lane(rule))
    assert len(claim(store)) == 1
    assert until_next(store) == 100_000
    clock.advance(0.1)
    assert len(claim(store)) == 1


def test_a_key_does_not_slow_another(store: Store) -> None:
    busy, idle = (lane(RATE._replace(key=f"send rate [{customer}]")) for customer in (1, 2))
    for _ in range(5):
        store.insert(lane=busy)
    other = store.insert(lane=idle)
    assert other in [each.id for each in claim(store, 3)]


def test_a_concurrency_lets_one_in_when_one_ends(store: Store) -> None:
    first, second = (store.insert(lane=lane(ONE)) for _ in range(2))
    [running] = claim(store)
    assert running.id == first
    assert claim(store) == []
    store.complete(running)
    assert [each.id for each in claim(store)] == [second]


@pytest.mark.parametrize("move", EndingMove)
def test_every_end_frees_the_slot(store: Store, move: EndingMove) -> None:
    _, second = (store.insert(lane=lane(ONE)) for _ in range(2))
    [running] = claim(store)
    store.end(running, move, delay=5)
    assert [each.id for each in claim(store)] == [second]


def test_a_slot_that_is_freed_wakes_who_waits(store: Store) -> None:
    store.insert(lane=lane(ONE))
    [running] = claim(store)
    assert Wake(WakeKind.READY) in store.wakes(store.engine.return_jobs, [(running.id, running.fence)])


def test_a_returned_job_is_held_again_and_its_permit_is_spent(store: Store) -> None:
    for _ in range(3):
        store.insert(lane=lane(RATE))
    store.give_back(*claim(store))
    assert store.count(state="held") == 3
    assert claim(store) == []


def test_the_slots_of_a_dead_worker_come_back_with_its_lease(store: Store) -> None:
    job = store.insert(lane=lane(ONE))
    new = NewWorker("host", 2, "1.0", None, TASKS, 10, 15 * SECOND)
    dying = store.engine.write(store.engine.register_worker, new)
    [running] = claim(store, worker=dying)
    assert claim(store) == []
    store.crash(running, store.default_worker)
    assert [each.id for each in claim(store)] == [job]


def test_no_burst_after_retry_replay_promotion_or_run_now(store: Store, clock: OwnedClock) -> None:
    jobs = [store.insert(lane=lane(RATE), delay=SECOND * (place > 5)) for place in range(8)]
    first, second = claim(store)
    store.end(first, EndingMove.RETRY)
    store.complete(second)
    store.replay(second.id)
    store.engine.write(store.engine.run_jobs_now, JobFilter(id=jobs[7]), 0, 1)
    assert store.count(state="held") == 7
    assert claim(store) == []
    clock.advance(1)
    store.promote()
    assert store.count(state="ready") == 0
    assert len(claim(store)) == 2


def test_a_replayed_job_has_its_lane_again(store: Store) -> None:
    job = store.insert(lane=lane(RATE))
    store.complete(*claim(store))
    store.replay(job)
    assert store.state(job) is JobState.HELD
    assert [each.id for each in claim(store)] == [job]


def test_lanes_take_turns(store: Store) -> None:
    flood = store.engine.write(
        store.engine.insert_jobs, [NewJob("send", "default", "{}", lane=lane(fair="send [1]"))] * 20
    )
    quiet = [store.insert(lane=lane(fair="send [2]")) for _ in range(2)]
    claimed = [each.id for each in claim(store, 4)]
    assert set(quiet) <= set(claimed)
    assert set(claimed) - set(quiet) == set(flood[:2])


def test_a_lane_that_was_served_waits_behind_the_others(store: Store, clock: OwnedClock) -> None:
    for tenant in (1, 2, 3):
        for _ in range(5):
            store.insert(lane=lane(fair=f"send [{tenant}]"))
    served = []
    for _ in range(6):
        clock.advance(0.01)
        served += [each.lane for each in claim(store, 1)]
    assert [served.count(each) for each in sorted(set(served), key=str)] == [2, 2, 2]


def test_larger_priority_first_inside_a_lane(store: Store) -> None:
    store.insert(lane=lane(ONE))
    urgent = store.insert(lane=lane(ONE), priority=5)
    assert [each.id for each in claim(store)] == [urgent]


def test_a_job_that_is_rate_limited_from_outside_holds_back_its_key(store: Store, clock: OwnedClock) -> None:
    for _ in range(3):
        store.insert(lane=lane(RATE))
    first, _ = claim(store)
    ending = Ending(first.id, first.fence, EndingMove.SNOOZE, BOOM, 30 * SECOND, holds_back=True)
    store.engine.write(store.engine.finish_jobs, [ending])
    clock.advance(29)
    assert claim(store) == []
    clock.advance(1)
    store.promote()
    assert len(claim(store)) == 2


def test_a_limit_is_changed_for_all_at_run_time(store: Store, clock: OwnedClock) -> None:
    for _ in range(9):
        store.insert(lane=lane(RATE))
    assert len(claim(store)) == 2
    store.engine.write(store.engine.set_limit, LimitChange("send rate", 6, SECOND, None))
    assert len(claim(store)) == 4
    assert store.engine.read(store.engine.list_limits) == [LimitChange("send rate", 6, SECOND, None)]
    assert store.engine.write(store.engine.reset_limit, "send rate")
    assert not store.engine.write(store.engine.reset_limit, "send rate")
    clock.advance(1)
    assert len(claim(store)) == 2


def test_permits_for_code_outside_jobs(store: Store, clock: OwnedClock) -> None:
    rule = LimitRule("partner rate", "partner rate", 1, SECOND)
    assert store.engine.write(store.engine.acquire_permit, rule) == 0
    assert store.engine.write(store.engine.acquire_permit, rule) == SECOND
    clock.advance(1)
    assert store.engine.write(store.engine.acquire_permit, rule) == 0


def test_a_job_that_came_without_its_lane_is_put_into_it(store: Store) -> None:
    job = store.insert()
    claimed = store.claim_one()
    assert store.engine.write(store.engine.assign_lanes, [(job, claimed.fence, lane(RATE))]) == 1
    assert (store.state(job), store.job(job).attempt) == (JobState.HELD, 0)
    assert [each.id for each in claim(store)] == [job]


def test_a_job_that_moves_to_another_queue_loses_its_lane(store: Store) -> None:
    job = store.insert(lane=lane(RATE))
    store.engine.write(store.engine.update_job, job, JobChanges(queue="other"))
    assert store.state(job) is JobState.READY


def test_a_worker_leaves_the_lanes_of_tasks_it_does_not_know(store: Store) -> None:
    store.insert("print", lane=lane(RATE, task="print"))
    assert claim(store, tasks=frozenset({"send"})) == []
    assert len(claim(store)) == 1


def test_a_worker_that_was_declared_dead_gets_nothing(store: Store) -> None:
    store.insert(lane=lane(RATE))
    store.engine.write(store.engine.retire_worker, store.default_worker)
    assert claim(store) == []


def test_pruning_forgets_what_counts_no_more_and_nothing_else(store: Store, clock: OwnedClock) -> None:
    for _ in range(3):
        store.insert(lane=lane(RATE, ONE))
    [running] = claim(store)
    clock.advance(0.5)
    store.engine.write(store.engine.prune_limits, 100)
    assert claim(store) == []
    store.complete(running)
    [running] = claim(store)
    store.complete(running)
    clock.advance(2)
    store.complete(*claim(store))
    assert claim(store) == []
    clock.advance(2)
    assert store.engine.write(store.engine.prune_limits, 100) == 2
    again = store.insert(lane=lane(RATE, ONE))
    assert [each.id for each in claim(store)] == [again]


def test_a_late_confirmation_frees_no_slot_of_a_newer_run(store: Store) -> None:
    """A job that ended by ``job.finish(tx)`` is replayed before its worker has confirmed that end."""
    two = lane(ONE._replace(allowed=2))
    job, *_, last = (store.insert(lane=two) for _ in range(3))
    first, second = claim(store)
    assert store.engine.write(store.engine.finish_job, Completion(first.id, first.fence))
    assert store.replay(job) == [job]
    store.engine.write(store.engine.update_job, job, JobChanges(priority=5))
    store.complete(second)
    [again] = claim(store)
    assert again.id == job
    confirmation = Confirmation(first.id, first.fence, Ending(first.id, first.fence, EndingMove.RETRY, BOOM))
    store.engine.write(store.engine.finish_jobs, [confirmation])
    assert len(claim(store)) <= 1, "two at a time"
    store.complete(again)
    claim(store)
    assert store.state(last) is JobState.RUNNING


def test_the_keys_that_jobs_wait_for_are_listed(store: Store) -> None:
    of_ada, of_bob = (ONE._replace(key=f'send concurrency ["{name}"]') for name in ("ada", "bob"))
    all_ = LimitRule("queue mail concurrency", "queue mail concurrency", 1, 0)
    for rules in ((of_ada,), (of_ada,), (of_bob,), (all_,), (all_,), (all_,)):
        store.insert(lane=lane(*rules))
    claims = claim(store)
    assert len(claims) == 3
    full = [FullKey("queue mail", "concurrency", "", 1, 1), FullKey("send", "concurrency", '["ada"]', 1, 1)]
    assert store.engine.read(store.engine.list_full_keys, 10) == full, "nobody waits for bob's"
    assert store.engine.read(store.engine.list_full_keys, 1) == full[:1]
    store.engine.write(store.engine.set_limit, LimitChange("queue mail concurrency", 2, 0, None))
    assert len(claim(store)) == 1
    assert store.engine.read(store.engine.list_full_keys, 10)[0] == FullKey("queue mail", "concurrency", "", 2, 2)
    store.complete(*claims)
    claim(store)
    assert [each.key for each in store.engine.read(store.engine.list_full_keys, 10)] == []


def test_the_keys_of_rates_that_are_used_up_are_listed_with_when_they_let_the_next_one_through(
    store: Store, clock: OwnedClock
) -> None:
    def full(*rates: LimitRule, limit: int = 10) -> list[FullKey]:
        return store.engine.read(store.engine.list_full_keys, limit, rates)

    of_ada, of_bob = (RATE._replace(key=f'send rate ["{name}"]') for name in ("ada", "bob"))
    named, burst = (
        LimitRule("api rate", "api rate", 1, 60 * SECOND),
        RATE._replace(name="q rate", key="q rate", burst=1),
    )
    for rules in ((of_ada, ONE._replace(allowed=9)), (of_ada,), (of_ada,), (of_bob,), (burst,), (burst,)):
        store.insert(lane=lane(*rules))
    assert full(named) == [], "nobody has begun"
    began = clock.now()
    assert len(claim(store)) == 4
    half, whole = from_moment(began + SECOND // 2), from_moment(began + SECOND)
    found = [FullKey("q", "rate", "", 2, 1, 1.0, half), FullKey("send", "rate", '["ada"]', 2, 2, 1.0, whole)]
    assert full(named) == found, "nobody waits for bob's"
    assert full(limit=1) == found[:1]

    assert store.engine.write(store.engine.acquire_permit, named) == 0
    of_named = FullKey("api", "rate", "", 1, 1, 60.0, from_moment(began + 60 * SECOND))
    assert full(named) == [of_named, *found]
    store.engine.write(store.engine.set_limit, LimitChange("send rate", 3, SECOND, None))
    assert len(claim(store)) == 1
    assert [each.name for each in full()] == ["q"], "nobody waits any more"
    store.insert(lane=lane(of_bob))
    store.engine.write(store.engine.hold_back, lane(of_bob), 5 * SECOND)
    assert claim(store) == []
    held_back = FullKey("send", "rate", '["bob"]', 3, 1, 1.0, from_moment(began + 5 * SECOND))
    assert full()[1:] == [held_back], "somebody else said that it is too many"


def test_a_lane_that_somebody_made_up_stops_no_other(store: Store) -> None:
    """By an INSERT of their own. Its job is passed by."""
    made_up = [store.insert(lane=text) for text in ("", "email", "[1]", '["default","send",[[]],null]')]
    job = store.insert(lane=lane(RATE))
    assert [each.id for each in claim(store)] == [job]
    assert {store.state(each) for each in made_up} == {JobState.HELD}
