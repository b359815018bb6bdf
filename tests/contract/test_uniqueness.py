"""Unique keys: which job holds one, and what becomes of a later job with the same key."""

import threading
from typing import Any

import pytest

from tests.contract.store import SECOND, Store
from turnspit.contract.verbs import Verb, Wake, WakeKind
from turnspit.errors import JobExists
from turnspit.jobs import JobFilter
from turnspit.records import EndingMove, Inserted, NewJob, ProgressUpdate, UniqueRule
from turnspit.states import JobState

LIVE = "scheduled,held,ready,running"
ALIVE = UniqueRule(LIVE)
HOUR = 3600
DEAD_LETTERS = JobFilter(state="dead")


def new(key: str | None = "k", rule: UniqueRule = ALIVE, *, args: str = "{}", **fields: Any) -> NewJob[Any]:
    return NewJob("send", "default", args, unique_key=key, unique_rule=rule if key else None, **fields)


def insert(store: Store, job: NewJob[Any]) -> Inserted:
    return store.engine.write(store.engine.insert_job, job)


def insert_at_once(store: Store, job: NewJob[Any]) -> Inserted | None:
    return store.engine.write(store.engine.insert_job_at_once, job)


def insert_many(store: Store, *jobs: NewJob[Any]) -> list[int]:
    return store.engine.write(store.engine.insert_jobs, jobs)


def test_a_second_job_with_the_key_of_a_live_one_is_not_stored(store: Store) -> None:
    first = insert(store, new(delay=SECOND))
    assert first.created
    second = insert(store, new())
    assert second == first._replace(created=False)
    assert store.count() == 1
    assert insert(store, new("other")).created
    assert insert(store, new(None)).created


@pytest.mark.parametrize("delay", [0, SECOND])
def test_a_key_that_nobody_has_used_is_taken_at_once(store: Store, delay: int) -> None:
    job = new(args='{"n": 1}', priority=5, delay=delay)
    first = insert_at_once(store, job)
    if not store.engine.has_round_trips:
        assert first is None
        return
    assert first is not None
    assert first == (first.id, "scheduled" if delay else "ready", first.created_at + delay, first.created_at, True)
    assert store.job(first.id).args == '{"n": 1}'
    assert insert_at_once(store, job) is None
    assert insert(store, job) == first._replace(created=False)
    assert store.count() == 1


def test_a_key_that_is_free_again_is_not_taken_at_once(store: Store) -> None:
    store.complete(store.claim_one(job=insert(store, new()).id))
    assert insert_at_once(store, new()) is None
    assert insert(store, new()).created


def test_a_job_is_found_by_the_key_that_it_holds(store: Store) -> None:
    rule = UniqueRule(LIVE, within=HOUR * SECOND)
    first, other = insert(store, new(rule=rule)).id, insert(store, new("other")).id
    store.insert()
    assert store.ids(unique_key="k") == [first]
    store.complete(store.claim_one(job=first))
    assert (store.ids(unique_key="k"), store.count(unique_key="k")) == ([first], 1)
    assert store.ids(unique_key="k", state="ready") == []
    store.clock.advance(HOUR)
    second = insert(store, new(rule=rule)).id
    assert store.ids(unique_key="k") == [second]

    engine, by_key = store.engine, JobFilter(unique_key="k")
    assert [job.id for job in engine.read(engine.search_jobs, by_key, 10, None, 1).records] == [second]
    assert engine.write(engine.cancel_jobs, by_key, "", 0, 10) == [(second, JobState.CANCELLED)]
    assert engine.write(engine.delete_jobs, by_key, 0, 10) == [second]
    assert (store.ids(unique_key="k"), store.find(first), store.state(other)) == ([], store.job(first), JobState.READY)
    assert insert(store, new(rule=rule)).created


@pytest.mark.parametrize("state", ["ready", "running", "retrying", "scheduled"])
def test_the_key_is_held_in_every_state_of_the_rule(store: Store, state: str) -> None:
    job = insert(store, new(delay=SECOND if state == "scheduled" else 0)).id
    if state in ("running", "retrying"):
        claim = store.claim_one(job=job)
        if state == "retrying":
            store.end(claim, delay=5)
    assert insert(store, new()).id == job


@pytest.mark.parametrize("end", ["completed", "cancelled", "dead", "deleted"])
def test_the_key_is_free_when_its_job_has_ended(store: Store, end: str) -> None:
    job = insert(store, new()).id
    if end == "completed":
        store.complete(store.claim_one())
    elif end == "dead":
        store.kill(job)
    elif end == "cancelled":
        store.cancel(job)
    else:
        store.delete(job)
    second = insert(store, new())
    assert second.created
    assert insert(store, new()).id == second.id


def test_a_rule_may_name_dead_letters(store: Store) -> None:
    job = insert(store, new(rule=UniqueRule(LIVE + ",dead"))).id
    store.kill(job)
    assert insert(store, new()).id == job


def test_within_outlives_the_move_to_history(store: Store) -> None:
    rule = UniqueRule(LIVE, within=60 * SECOND)
    job = insert(store, new(rule=rule)).id
    store.complete(store.claim_one())
    store.clock.advance(59)
    found = insert(store, new(rule=rule))
    assert (found.id, found.state, found.created) == (job, JobState.COMPLETED, False)
    store.clock.advance(1)
    assert insert(store, new(rule=rule)).created


def test_without_states_only_the_time_counts(store: Store) -> None:
    rule = UniqueRule("", within=60 * SECOND)
    insert(store, new(rule=rule))
    store.clock.advance(60)
    assert insert(store, new(rule=rule)).created


def test_replace_gives_a_waiting_job_new_arguments(store: Store) -> None:
    rule = UniqueRule(LIVE, on_conflict="replace")
    job = insert(store, new(rule=rule, args='{"n": 1}', delay=SECOND)).id
    found = insert(store, new(rule=rule, args='{"n": 2}', priority=5, tags='["a"]', metadata='{"m": 1}'))
    assert (found.id, found.state, found.created) == (job, JobState.READY, False)
    record = store.job(job)
    assert (record.args, record.priority, record.tags, record.state) == ('{"n": 2}', 5, '["a"]', "ready")
    heard = store.wakes(store.engine.insert_job, new(rule=rule))
    assert Wake(WakeKind.READY) in heard


def test_replace_beside_a_job_that_has_begun_stores_another(store: Store) -> None:
    rule = UniqueRule(LIVE, on_conflict="replace")
    insert(store, new(rule=rule, args='{"n": 1}'))
    claim = store.claim_one()
    second = insert(store, new(rule=rule, args='{"n": 2}'))
    assert second.created
    assert insert(store, new(rule=rule, args='{"n": 3}')).id == second.id
    assert (store.job(claim.id).args, store.job(second.id).args) == ('{"n": 1}', '{"n": 3}')


def test_raise(store: Store) -> None:
    rule = UniqueRule(LIVE, on_conflict="raise")
    job = insert(store, new(rule=rule)).id
    with pytest.raises(JobExists, match=f"send: job {job} holds the unique key k; nothing was stored") as caught:
        insert(store, new(rule=rule))
    assert caught.value.job_id == job
    with pytest.raises(JobExists, match=f"job {job}"):
        insert_many(store, new("fresh"), new(rule=rule))
    assert store.count() == 1, "all or none"


def test_many_at_once(store: Store) -> None:
    held = insert(store, new("held")).id
    ids = insert_many(store, new("a"), new(None), new("held"), new("b"), new("a"), new(None))
    assert ids[2] == held
    assert ids[0] == ids[4]
    assert len({*ids}) == 5
    assert store.count() == 5
    assert insert(store, new("b")).id == ids[3]


def test_the_last_one_of_many_wins(store: Store) -> None:
    rule = UniqueRule(LIVE, on_conflict="replace")
    held = insert(store, new("held", rule, args='{"n": 0}')).id
    one, two, three, four = insert_many(
        store,
        new("held", rule, args='{"n": 1}'),
        new("fresh", rule, args='{"n": 1}'),
        new("held", rule, args='{"n": 2}'),
        new("fresh", rule, args='{"n": 2}'),
    )
    assert one == three == held
    assert two == four
    assert store.job(held).args == store.job(two).args == '{"n": 2}'
    assert store.count() == 2


def test_raise_within_one_call(store: Store) -> None:
    rule = UniqueRule(LIVE, on_conflict="raise")
    with pytest.raises(JobExists, match="an earlier job of the same call"):
        insert_many(store, new(rule=rule), new(rule=rule))
    assert store.count() == 0


@pytest.mark.parametrize("held", ["holder", "earlier"])
def test_raise_changes_no_other_job_before(store: Store, held: str) -> None:
    """In a caller's transaction, who catches the error and commits."""
    replaces, raises = UniqueRule(LIVE, on_conflict="replace"), UniqueRule(LIVE, on_conflict="raise")
    first = insert(store, new(rule=replaces, args='{"n": 1}')).id
    insert(store, new("holder"))
    jobs = [new(rule=replaces, args='{"n": 2}'), new("earlier"), new(held, raises)]

    def caught() -> Verb[None]:
        steps = store.engine.insert_jobs(jobs)
        with pytest.raises(JobExists, match="nothing was stored"):
            yield from steps

    store.engine.write(caught)
    assert store.job(first).args == '{"n": 1}'
    assert store.count() == 2


def test_debounce_puts_off_until_it_was_quiet(store: Store) -> None:
    rule = UniqueRule("scheduled,held,ready", on_conflict="replace", longest=25 * SECOND)
    began = store.clock.moment
    job = insert(store, new(rule=rule, delay=10 * SECOND)).id
    due = []
    for _ in range(3):
        store.clock.advance(8)
        found = insert(store, new(rule=rule, delay=10 * SECOND))
        assert found.id == job
        due.append((found.run_at - began) / SECOND)
    assert due == [18, 25, 25], "never later than 25 s after the first call"
    store.clock.advance(1)
    assert store.promote()[0] == 1
    store.claim_one()
    assert insert(store, new(rule=rule, delay=10 * SECOND)).created, "what has begun is another job"


def test_a_retry_whose_key_was_taken_goes_on_without_it(store: Store) -> None:
    rule = UniqueRule("scheduled,ready")
    first = insert(store, new(rule=rule)).id
    claim = store.claim_one()
    second = insert(store, new(rule=rule))
    assert second.created
    store.end(claim, delay=0)
    assert store.state(first) is JobState.READY
    assert insert(store, new(rule=rule)).id == second.id


def test_a_replay_whose_key_is_taken_is_refused_and_no_other(store: Store) -> None:
    taken, free = insert(store, new("a")).id, insert(store, new("b")).id
    plain = store.insert()
    for job in (taken, free, plain):
        store.kill(job)
    holder = insert(store, new("a")).id
    replayed = store.engine.write(store.engine.replay_jobs, DEAD_LETTERS, 0, 100)
    assert replayed == [(taken, JobState.DEAD), (free, JobState.READY), (plain, JobState.READY)]
    assert store.state(taken) is JobState.DEAD
    assert insert(store, new("b")).id == free, "the replayed job holds its key again"
    store.complete(*store.claim(10, tasks={"send"}))
    assert store.state(holder) is JobState.COMPLETED
    assert store.engine.write(store.engine.replay_jobs, DEAD_LETTERS, 0, 100) == [(taken, JobState.READY)]


def test_of_two_dead_letters_with_one_key_one_lives_again(store: Store) -> None:
    one = insert(store, new()).id
    store.kill(one)
    two = insert(store, new()).id
    store.kill(two)
    replayed = store.engine.write(store.engine.replay_jobs, DEAD_LETTERS, 0, 100)
    assert replayed == [(one, JobState.READY), (two, JobState.DEAD)]


def test_keys_that_nobody_holds_are_pruned(store: Store) -> None:
    def keys() -> int:
        return store.engine.write(store.engine.prune_keys, 100)

    done = insert(store, new("done", UniqueRule(LIVE, within=60 * SECOND))).id
    store.complete(store.claim_one(job=done))
    live = insert(store, new("live")).id
    dead = insert(store, new("dead")).id
    store.end(store.claim_one(job=dead), EndingMove.DEAD)
    assert keys() == 0, "not before an hour"
    store.clock.advance(HOUR)
    assert keys() == 3
    assert insert(store, new("live")).id == live
    assert insert(store, new("dead")).created
    assert keys() == 0, "the live one is looked at an hour later"
    store.clock.advance(HOUR)
    assert keys() == 2


def test_a_thousand_at_once_give_one_job(store: Store) -> None:
    """From threads of one process, in groups, and from a second engine, as another process has it."""
    ids: list[int] = []

    def enqueue() -> None:
        ids.extend((insert_at_once(store, new("one")) or insert(store, new("one"))).id for _ in range(125))

    threads = [threading.Thread(target=enqueue) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 1000
    assert len(set(ids)) == 1
    assert store.count() == 1


def test_a_replaced_job_does_not_go_on_where_the_one_before_stopped(store: Store) -> None:
    """The place that ``job.iterate`` keeps is one among the items of other arguments."""
    replace = ALIVE._replace(on_conflict="replace")
    first = insert(store, new(rule=replace, args='{"n":1}'))
    claim = store.claim_one()
    progress = ProgressUpdate(claim.id, claim.fence, 0.5, "half", data="{}", cursor='{"at":500}')
    store.engine.write(store.engine.record_progress, [progress])
    store.end(claim, EndingMove.INVALID, delay=60, patience=100)
    store.clock.advance(200)
    assert insert(store, new(rule=replace, args='{"n":2}')).id == first.id
    job = store.job(first.id)
    assert (job.progress, job.progress_message, job.progress_data) == (None, None, None)
    claim = store.claim_one()
    assert (claim.args, claim.cursor) == ('{"n":2}', None)
    store.end(claim, EndingMove.INVALID, delay=60, patience=100)
    assert store.state(first.id) is JobState.SCHEDULED, "its patience begins anew"
