"""Jobs of producers that do not know the task: their unique key stays open until a worker settles it."""

from tests.contract.store import SECOND, Store
from tests.contract.test_uniqueness import ALIVE, HOUR, LIVE, insert, new
from turnspit.records import OPEN_KEY, Claim, OpenClaim, UniqueRule


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


def test_a_job_that_is_to_be_cancelled_is_not_put_off_instead(store: Store) -> None:
    """It goes on to where its worker learns of that: put off, it would have run an hour later."""
    [claim] = come_from_sql(store)
    store.cancel(claim.id)
    assert settle(store, claim, delay=HOUR * SECOND) == [claim.id]
    assert store.engine.read(store.engine.find_cancelled, store.default_worker) == [claim.id]
