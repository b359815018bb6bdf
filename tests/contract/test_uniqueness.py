"""Unique keys: which job holds one, and what becomes of a later job with the same key."""

import threading
from typing import Any

import pytest

from tests.contract.store import SECOND, Store
from turnspit.contract.verbs import Verb, Wake, WakeKind
from turnspit.errors import JobExists
from turnspit.jobs import JobFilter
from turnspit.records import OPEN_KEY, Claim, EndingMove, Inserted, NewJob, OpenClaim, ProgressUpdate, UniqueRule
from turnspit.states import JobState

LIVE = "scheduled,held,ready,running"
ALIVE = UniqueRule(LIVE)
HOUR = 3600
DEAD_LETTERS = JobFilter(state="dead")


def new(key: str | None = "k", rule: UniqueRule = ALIVE, *, args: str = "{}", **fields: Any) -> NewJob[Any]:
    return NewJob("send", "default", args, unique_key=key, unique_rule=rule if key else None, **fields)


def insert(store: Store, job: NewJob[Any]) -> Inserted:
    return store.engine.write(store.engine.insert_job, job)


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
        ids.extend(insert(store, new("one")).id for _ in range(125))

    threads = [threading.Thread(target=enqueue) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 1000
    assert len(set(ids)) == 1
    assert store.count() == 1


def come_from_sql(store: Store, count: int = 1) -> list[Claim]:
    """Jobs of a producer that does not know the task, claimed."""
    for number in range(count):
        store.insert(unique_key=OPEN_KEY, args=f'{{"number": {number}}}')
    return store.claim(count)


def settle(store: Store, *claims: Claim, rule: UniqueRule = ALIVE, delay: int = 0) -> list[int]:
    told = [OpenClaim(claim.id, claim.fence, new(rule=rule, args=claim.args, delay=delay)) for claim in claims]
    return store.engine.write(store.engine.settle_keys, told)


def test_jobs_with_an_open_key_do_not_exclude_each_other_until_it_is_settled(store: Store) -> None:
    first, second = come_from_sql(store, 2)
    assert (first.unique_key, second.unique_key) == (OPEN_KEY, OPEN_KEY)
    assert settle(store, second, first) == [first.id]
    ended = store.job(second.id)
    assert (ended.state, ended.attempt, ended.reason) == ("cancelled", 0, f"job {first.id} holds its unique key")
    assert insert(store, new()).id == first.id
    store.give_back(first)
    assert store.claim_one().unique_key == "k"


def test_settling_again_after_a_lost_answer_changes_nothing(store: Store) -> None:
    first, second = come_from_sql(store, 2)
    assert settle(store, first, second) == settle(store, first, second) == [first.id]
    assert store.job(first.id).state == "running"


def test_a_lost_claim_settles_nothing(store: Store) -> None:
    [claim] = come_from_sql(store)
    store.give_back(claim)
    assert settle(store, claim) == []
    assert insert(store, new()).created


def test_an_open_key_that_another_job_holds_ends_its_job(store: Store) -> None:
    holder = insert(store, new(delay=SECOND)).id
    [claim] = come_from_sql(store)
    assert settle(store, claim, rule=UniqueRule(LIVE, on_conflict="raise")) == []
    assert store.job(claim.id).reason == f"job {holder} holds its unique key"
    assert store.replay(claim.id) == []


def test_an_open_key_replaces_what_a_waiting_holder_is_to_do(store: Store) -> None:
    rule = UniqueRule(LIVE, on_conflict="replace")
    holder = insert(store, new(rule=rule, delay=SECOND)).id
    [claim] = come_from_sql(store)
    assert settle(store, claim, rule=rule) == []
    assert store.job(holder).args == claim.args
    assert store.job(claim.id).state == "cancelled"
    begun = store.claim_one()
    assert begun.id == holder
    [beside] = come_from_sql(store)
    assert settle(store, beside, rule=rule) == [beside.id]


def test_an_open_key_of_a_debounced_task_waits_for_quiet(store: Store) -> None:
    rule = UniqueRule("scheduled,held,ready", on_conflict="replace")
    first, second = come_from_sql(store, 2)
    store.clock.advance(1)
    assert settle(store, first, second, rule=rule, delay=5 * SECOND) == []
    waits = store.job(first.id)
    assert (waits.state, waits.attempt, waits.args) == ("scheduled", 0, second.args)
    assert waits.run_at == store.clock.now() + 5 * SECOND
    store.clock.advance(5)
    store.promote()
    assert store.claim_one().id == first.id


def test_final_jobs_with_open_keys_live_again_side_by_side(store: Store) -> None:
    jobs = [store.kill(claim.id) for claim in come_from_sql(store, 2) if store.give_back(claim)]
    assert [store.replay(job) for job in jobs] == [[job] for job in jobs]


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


def test_a_job_that_is_to_be_cancelled_is_not_put_off_instead(store: Store) -> None:
    """It goes on to where its worker learns of that: put off, it would have run an hour later."""
    [claim] = come_from_sql(store)
    store.cancel(claim.id)
    assert settle(store, claim, delay=HOUR * SECOND) == [claim.id]
    assert store.engine.read(store.engine.find_cancelled, store.default_worker) == [claim.id]
