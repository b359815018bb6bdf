"""Jobs that expire: one that has not begun in time never begins, one that has goes on."""

from typing import Any

import pytest

from tests.contract.store import SECOND, TASKS, Store
from turnspit.contract.verbs import Wake, WakeKind
from turnspit.records import EndingMove, JobChanges, Lane, LimitedRequest, LimitRule, NewJob, UniqueRule
from turnspit.states import JobState

MINUTE = 60


def insert(store: Store, **fields: Any) -> int:
    return store.insert(expires_in=MINUTE * SECOND, **fields)


@pytest.mark.parametrize("fields", [{"expires_in": MINUTE * SECOND}, {"expires_at": 1_700_000_060 * SECOND}])
def test_it_is_claimed_in_time_or_never(store: Store, fields: dict[str, int]) -> None:
    job, other = store.insert(**fields), store.insert()
    assert store.job(job).expires_at == store.clock.moment + MINUTE * SECOND
    store.clock.advance(MINUTE - 1)
    assert [claim.id for claim in store.claim(1)] == [job]
    store.give_back(store.claim_one(job=other))
    later = store.insert(**fields)
    store.clock.advance(MINUTE)
    assert [claim.id for claim in store.claim(9)] == [other]
    assert store.claim(1, job=later) == []


def test_it_is_cancelled_and_says_why(store: Store) -> None:
    job = insert(store)
    assert store.promote() == (0, MINUTE * SECOND)
    store.clock.advance(MINUTE)
    assert store.promote() == (0, None)
    record = store.job(job)
    assert (record.state, record.reason) == (
        JobState.CANCELLED,
        "expired: it did not start by 2023-11-14 22:14:20 UTC",
    )


@pytest.mark.parametrize("state", ["ready", "scheduled", "held", "limited"])
def test_wherever_it_waits(store: Store, state: str) -> None:
    if state == "scheduled":
        job = insert(store, delay=5 * MINUTE * SECOND)
    elif state == "held":
        job = insert(store, task="unknown")
        store.claim(1)
    else:
        job = insert(store, lane=Lane("default", "send", ()).to_text() if state == "limited" else None)
    assert store.state(job) == {"limited": "held"}.get(state, state)
    store.clock.advance(MINUTE)
    store.promote()
    assert store.state(job) is JobState.CANCELLED


def test_a_limited_job_that_is_late_is_not_let_through(store: Store) -> None:
    lane = Lane("default", "send", (), "send [1]").to_text()
    insert(store, lane=lane)
    other = store.insert(lane=lane)
    store.clock.advance(MINUTE)
    request = LimitedRequest(store.default_worker, 10, TASKS)
    claims = store.engine.write(store.engine.claim_limited_jobs, request).claims
    assert [claim.id for claim in claims] == [other]


@pytest.mark.parametrize("way", ["retry", "snooze", "rescue"])
def test_what_has_begun_in_time_goes_on(store: Store, way: str) -> None:
    insert(store)
    other = store.worker()
    claim = store.claim_one()
    if way == "rescue":
        store.crash(claim, other)
    else:
        store.end(claim, EndingMove.RETRY if way == "retry" else EndingMove.SNOOZE, delay=10)
    store.clock.advance(2 * MINUTE)
    store.promote()
    assert store.state(claim.id) is JobState.READY
    assert store.job(claim.id).expires_at is None


def test_what_was_handed_back_unrun_has_not_begun(store: Store) -> None:
    insert(store)
    claim = store.claim_one()
    store.give_back(claim)
    store.clock.advance(MINUTE)
    store.promote()
    assert store.state(claim.id) is JobState.CANCELLED


def test_what_was_interrupted_and_handed_back_has_begun(store: Store) -> None:
    jobs = [insert(store), insert(store)]
    claims = [(claim.id, claim.fence) for claim in store.claim(2)]
    store.engine.write(store.engine.return_jobs, claims, [jobs[0]])
    assert [store.job(job).expires_at is None for job in jobs] == [True, False]
    store.clock.advance(MINUTE)
    store.promote()
    assert [store.state(job) for job in jobs] == [JobState.READY, JobState.CANCELLED]


def test_a_running_job_is_left_alone(store: Store) -> None:
    insert(store)
    claim = store.claim_one()
    store.clock.advance(MINUTE)
    store.promote()
    assert store.complete(claim).lost == []


def test_many_are_cancelled_in_portions(store: Store) -> None:
    new = NewJob("send", "default", "{}", expires_in=SECOND)
    store.engine.write(store.engine.insert_jobs, [new] * 5)
    store.clock.advance(2)
    assert store.promote(limit=3) == (0, -SECOND)
    assert store.promote(limit=3) == (0, None)
    assert store.count(state="cancelled") == 5


def test_a_replayed_job_has_all_the_time(store: Store) -> None:
    job = insert(store)
    store.clock.advance(MINUTE)
    store.promote()
    assert store.replay(job) == [job]
    assert store.job(job).expires_at is None
    dead = insert(store)
    store.kill(dead)
    store.replay(dead)
    assert store.job(dead).expires_at is None


def test_a_change_of_time_leaves_it(store: Store) -> None:
    job = insert(store)
    store.engine.write(store.engine.update_job, job, JobChanges(at=store.clock.moment + 30 * SECOND))
    assert store.job(job).expires_at == store.clock.moment + MINUTE * SECOND


def test_a_replaced_job_expires_as_the_new_call_says(store: Store) -> None:
    rule = UniqueRule("ready", on_conflict="replace")
    job = insert(store, unique_key="k", unique_rule=rule)
    store.clock.advance(10)
    assert insert(store, unique_key="k", unique_rule=rule) == job
    assert store.job(job).expires_at == store.clock.moment + MINUTE * SECOND
    assert store.insert(unique_key="k", unique_rule=rule) == job
    assert store.job(job).expires_at is None


@pytest.mark.parametrize("many", [False, True])
def test_whoever_looks_after_due_jobs_hears_of_it(store: Store, many: bool) -> None:
    new = NewJob("send", "default", "{}", expires_in=SECOND)
    verb, given = (store.engine.insert_jobs, [new]) if many else (store.engine.insert_job, new)
    assert Wake(WakeKind.SCHEDULED) in store.wakes(verb, given)
    duties = store.engine.read(store.engine.find_duties, store.default_worker, None, TASKS)
    assert duties.until_due == SECOND


def test_a_job_that_has_expired_spends_nothing_of_its_rate(store: Store) -> None:
    """Nobody has cancelled it yet, and it waits with those that may begin."""
    limit = LimitRule("rate", "rate", 2, 60 * SECOND)
    text = Lane("default", "send", (limit,), None).to_text()
    store.insert(lane=text, expires_in=SECOND)
    store.clock.advance(2)
    request = LimitedRequest(store.default_worker, 10, TASKS)
    for _ in range(2):
        job = store.insert(lane=text)
        [claim] = store.engine.write(store.engine.claim_limited_jobs, request).claims
        assert claim.id == job
        store.clock.advance(1)
