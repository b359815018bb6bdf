"""Jobs that run in order: nothing overtakes a job of its key until that has ended for good."""

from typing import Any

import pytest

from tests.contract.store import SECOND, TASKS, Store
from turnspit.records import Claim, EndingMove, JobChanges, Lane, LimitedRequest, LimitRule
from turnspit.states import JobState

KEY = LimitRule("send concurrency", "send concurrency [7]", 1, 0)
OTHER_KEY = LimitRule("send concurrency", "send concurrency [8]", 1, 0)


def lane(key: LimitRule = KEY, *others: LimitRule, queue: str = "default", task: str = "send") -> str:
    return Lane(queue, task, (key, *others), None, key.key).to_text()


def insert(store: Store, **fields: Any) -> int:
    return store.insert(**{"lane": lane(), **fields})


def claim(store: Store, slots: int = 10, worker: int | None = None) -> list[Claim]:
    request = LimitedRequest(store.default_worker if worker is None else worker, slots, TASKS)
    return list(store.engine.write(store.engine.claim_limited_jobs, request).claims)


def claim_one(store: Store) -> Claim:
    [claimed] = claim(store)
    return claimed


def claim_none(store: Store) -> None:
    assert claim(store) == []


def test_one_at_a_time_in_the_order_of_ids_whatever_the_priority(store: Store) -> None:
    jobs = [insert(store, priority=priority) for priority in (0, 5, 9)]
    ran = []
    for _ in jobs:
        claimed = claim_one(store)
        claim_none(store)
        store.complete(claimed)
        ran.append(claimed.id)
    assert ran == jobs
    claim_none(store)


def test_other_keys_go_on(store: Store) -> None:
    first = insert(store)
    insert(store)
    other = insert(store, lane=lane(OTHER_KEY))
    assert {claimed.id for claimed in claim(store)} == {first, other}


@pytest.mark.parametrize("move", [EndingMove.RETRY, EndingMove.SNOOZE])
def test_a_job_that_waits_for_its_retry_is_not_overtaken(store: Store, move: EndingMove) -> None:
    first, second = insert(store), insert(store)
    store.end(claim_one(store), move, delay=60)
    claim_none(store)
    store.clock.advance(59)
    claim_none(store)
    store.clock.advance(1)
    claim_none(store)  # not promoted yet
    store.promote()
    again = claim_one(store)
    assert again.id == first
    store.complete(again)
    assert claim_one(store).id == second


def test_a_job_whose_worker_died_comes_first(store: Store) -> None:
    first, second = insert(store), insert(store)
    other = store.worker()
    claimed = claim_one(store)
    store.crash(claimed, other)
    assert [each.id for each in claim(store, worker=other)] == [first]
    assert store.state(second) is JobState.HELD


def test_a_job_that_was_handed_back_comes_first(store: Store) -> None:
    first, _ = insert(store), insert(store)
    store.give_back(claim_one(store))
    assert claim_one(store).id == first


@pytest.mark.parametrize("end", ["complete", "dead", "cancel"])
def test_whatever_ends_it_lets_the_next_one_go(store: Store, end: str) -> None:
    first, second = insert(store), insert(store)
    claimed = claim_one(store)
    if end == "complete":
        store.complete(claimed)
    elif end == "dead":
        store.end(claimed, EndingMove.DEAD)
    else:
        store.cancel(first)
        store.end(claimed, EndingMove.CANCEL)
    assert claim_one(store).id == second


@pytest.mark.parametrize("verb", ["cancel", "delete"])
def test_who_ends_a_job_that_waits_for_its_retry_lets_the_next_one_go_in_five_seconds(store: Store, verb: str) -> None:
    first, second = insert(store), insert(store)
    store.end(claim_one(store), delay=3600)
    claim_none(store)
    getattr(store, verb)(first)
    store.clock.advance(5)
    assert claim_one(store).id == second


def test_a_job_with_a_later_time_that_has_not_begun_holds_nobody_up(store: Store) -> None:
    later = insert(store, delay=60 * SECOND)
    now = insert(store)
    claimed = claim_one(store)
    assert claimed.id == now
    store.clock.advance(60)
    store.promote()
    claim_none(store)
    store.complete(claimed)
    assert claim_one(store).id == later


def test_a_paused_job_holds_up_those_behind_it(store: Store) -> None:
    first, second = insert(store, tags='["import"]'), insert(store)
    store.engine.write(store.engine.pause, "tag", "import")
    claim_none(store)
    store.clock.advance(6)
    claim_none(store)
    store.engine.write(store.engine.resume, "tag", "import")
    claimed = claim_one(store)
    assert claimed.id == first
    store.complete(claimed)
    assert claim_one(store).id == second


def test_order_is_by_key_across_queues_rates_and_releases(store: Store) -> None:
    """They are lanes of their own, and one that comes to nothing passes the turn on."""
    places = [
        {"lane": lane()},
        {"lane": lane(KEY, queue="other"), "queue": "other"},
        {"lane": lane(KEY, LimitRule("r", "r [1]", 100, SECOND))},
        {"lane": lane(KEY, LimitRule("r", "r [2]", 100, SECOND))},
        {"lane": lane(KEY._replace(allowed=2))},
    ]
    jobs = [insert(store, **places[place]) for place in (2, 1, 4, 0, 3, 1, 2, 0, 3, 4)]
    ran = []
    while claimed := claim(store):
        [each] = claimed
        ran.append(each.id)
        store.complete(each)
    assert ran == jobs


def test_a_lane_that_passed_the_turn_on_gets_it_back(store: Store) -> None:
    """Also if what it waited for was cancelled before it began."""
    first = insert(store, queue="other", lane=lane(KEY, queue="other"))
    second = insert(store)
    store.engine.write(store.engine.pause, "queue", "other")
    claim_none(store)
    store.cancel(first)
    store.engine.write(store.engine.prune_limits, 100)
    assert claim_one(store).id == second


def test_a_rate_on_top_is_kept(store: Store) -> None:
    rated = lane(KEY, LimitRule("r", "r", 1, 10 * SECOND))
    first, second = insert(store, lane=rated), insert(store, lane=rated)
    claimed = claim_one(store)
    assert claimed.id == first
    store.complete(claimed)
    claim_none(store)
    store.clock.advance(10)
    assert claim_one(store).id == second


def test_a_change_of_priority_changes_nothing(store: Store) -> None:
    first, second = insert(store), insert(store)
    store.engine.write(store.engine.update_job, second, JobChanges(priority=9))
    assert claim_one(store).id == first


def test_a_late_job_is_stepped_over_once_it_is_cancelled(store: Store) -> None:
    first, second = insert(store, expires_in=SECOND), insert(store)
    store.clock.advance(1)
    claim_none(store)
    store.promote()
    store.clock.advance(1)
    assert store.state(first) is JobState.CANCELLED
    assert claim_one(store).id == second


def test_nobody_looks_all_the_time_at_a_key_whose_first_job_is_paused(store: Store) -> None:
    """Every look is a commit: they came fifty times a second, for as long as the pause lasted."""
    first, second = insert(store, tags='["import"]'), insert(store)
    store.engine.write(store.engine.pause, "tag", "import")
    request = LimitedRequest(store.default_worker, 10, TASKS)
    looks = 0
    until = store.clock.moment + 60 * SECOND
    while store.clock.moment < until:
        found = store.engine.write(store.engine.claim_limited_jobs, request)
        assert not found.claims
        store.clock.advance(max(found.until_next or 0, 1000) / SECOND)
        looks += 1
    assert looks < 20
    store.engine.write(store.engine.resume, "tag", "import")
    claimed = claim_one(store)
    assert claimed.id == first
    store.complete(claimed)
    assert claim_one(store).id == second
