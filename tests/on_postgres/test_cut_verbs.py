"""The server goes away in the middle of every verb: at each statement and in the COMMIT, before and after it got it."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.store import BOOM, LEASE, SECOND, Store
from tests.on_postgres.cutting import Cut, is_of_a_verb
from tests.on_postgres.workflow_cases import CASES, LOOKS, OPTIONS, fan_in
from tests.proxy import When
from turnspit import EngineUnavailable
from turnspit.contract.alerts import Alerts
from turnspit.contract.control import Control
from turnspit.contract.figures import Figures
from turnspit.contract.jobs import Jobs
from turnspit.contract.leases import Leases
from turnspit.contract.pauses import Pauses
from turnspit.contract.queries import Queries
from turnspit.contract.uniqueness import Uniqueness
from turnspit.contract.workflows import Workflows
from turnspit.jobs import JobFilter
from turnspit.records import (
    OPEN_KEY,
    ClaimRequest,
    Completion,
    Ending,
    EndingMove,
    JobChanges,
    LogLine,
    NewJob,
    NewWorker,
    OpenClaim,
    ProgressUpdate,
    PruneRequest,
    UniqueRule,
)

NEW = NewJob("send", "default", "{}")
ALL = JobFilter()
TASKS = frozenset({"send"})


AT_ONCE = {"insert_job_at_once", "claim_jobs_at_once", "finish_jobs_at_once"}


def claims(store: Store, count: int = 2) -> list[Any]:
    """Running jobs."""
    store.insert_many(count)
    return store.claim(count)


def mixed_finishes(store: Store) -> tuple[Any, ...]:
    """One that completed, and one of each that did not."""
    first, *others = claims(store, 5)
    moves = (EndingMove.RETRY, EndingMove.DEAD, EndingMove.CANCEL, EndingMove.SNOOZE)
    ended = [
        Ending(each.id, each.fence, move, error=BOOM, delay=SECOND) for each, move in zip(others, moves, strict=True)
    ]
    return ([*fan_in(store), Completion(first.id, first.fence, "7"), *ended],)


def expired_worker(store: Store) -> tuple[Any, ...]:
    """Jobs of a worker that was silent for too long, and one that has not been."""
    store.insert_many(3)
    store.claim(2, worker=store.worker(lease=SECOND))
    rescuer = store.worker()
    for _ in range(4):
        store.clock.advance(LEASE / SECOND / 3)
        store.engine.write(store.engine.renew_lease, rescuer, LEASE)
    return rescuer, 3


def final_jobs(store: Store) -> tuple[Any, ...]:
    """A dead letter and a completed job."""
    store.kill()
    store.complete(store.claim_one(job=store.insert()))
    return ALL, 0, 100


def old_jobs(store: Store) -> tuple[Any, ...]:
    final_jobs(store)
    store.clock.advance(3600)
    return (PruneRequest(SECOND, SECOND),)


def ready(store: Store) -> tuple[Any, ...]:
    store.insert_many(3)
    return (ClaimRequest(store.default_worker, 2, TASKS),)


def due(store: Store) -> tuple[Any, ...]:
    store.insert(delay=SECOND)
    store.clock.advance(2)
    return (100,)


def progress(store: Store) -> tuple[Any, ...]:
    [claim] = claims(store, 1)
    line = LogLine(1, None, "info", "half")
    return ([ProgressUpdate(claim.id, claim.fence, 0.5, "half", (line,))],)


def cancelled(store: Store) -> tuple[Any, ...]:
    claims(store)
    store.insert()
    return ALL, "no more", 0, 100


def held(store: Store) -> tuple[Any, ...]:
    """Jobs of a task that no live worker knew, until a worker that knows it came."""
    store.insert_many(2, task="later")
    store.claim(2)
    return ["later"], 10


def open_keys(store: Store) -> tuple[Any, ...]:
    """Jobs from SQL, one of which holds the key of the others from now on."""
    for _ in range(3):
        store.insert(unique_key=OPEN_KEY)
    new = NEW._replace(unique_key="k", unique_rule=UniqueRule("ready,running"))
    return ([OpenClaim(each.id, each.fence, new) for each in store.claim(3)],)


def a_holder(store: Store) -> tuple[Any, ...]:
    store.insert(unique_key="k", unique_rule=UniqueRule("ready"))
    return (NEW._replace(unique_key="k", unique_rule=UniqueRule("ready", 0, "replace"), args="[9]"),)


def old_keys(store: Store) -> tuple[Any, ...]:
    """A key that its job holds for longer, and one of a job that has ended."""
    store.insert(unique_key="k", unique_rule=UniqueRule("ready"))
    store.complete(store.claim_one(job=store.insert(unique_key="l", unique_rule=UniqueRule("ready"))))
    store.clock.advance(3601)
    return (10,)


def paused(store: Store) -> tuple[Any, ...]:
    """A task that was paused while jobs of it waited."""
    store.insert_many(2)
    store.engine.write(store.engine.pause, "task", "send")
    store.claim(2)
    return "task", "send"


def one_running(store: Store) -> Any:
    [claim] = claims(store, 1)
    return claim


def live_worker(store: Store) -> tuple[Any, ...]:
    claims(store)
    return (store.default_worker,)


def an_alert(store: Store) -> tuple[Any, ...]:
    """One that is over, where another begins."""
    store.engine.write(store.engine.settle_alerts, "app", "rule", [("dead", "task send")], SECOND)
    return "app", "rule", [("oldest", "queue default")], SECOND


WRITES: dict[str, Callable[[Store], tuple[Any, ...]]] = {
    "insert_job": lambda store: (NEW._replace(unique_key="k", unique_rule=UniqueRule("ready")),),
    "insert_jobs": lambda store: ([NEW, NEW._replace(unique_key="k", unique_rule=UniqueRule("ready"))],),
    "claim_jobs": ready,
    "finish_jobs": mixed_finishes,
    "finish_job": lambda store: (Completion((claim := one_running(store)).id, claim.fence, "7"),),
    "find_holder": a_holder,
    "settle_keys": open_keys,
    "prune_keys": old_keys,
    "return_jobs": lambda store: ([(each.id, each.fence) for each in claims(store)],),
    "promote_jobs": due,
    "record_progress": progress,
    "prune_jobs": old_jobs,
    "cancel_jobs": cancelled,
    "replay_jobs": final_jobs,
    "update_job": lambda store: (store.insert(), JobChanges(priority=5, queue="mail")),
    "run_jobs_now": lambda store: (JobFilter(id=store.insert(delay=3600 * SECOND)), 0, 9),
    "delete_jobs": final_jobs,
    "register_worker": lambda store: (NewWorker("host", 1, "1.0", None, TASKS, 10, LEASE),),
    "admit_jobs": held,
    "pause": lambda store: ("queue", "default"),
    "resume": paused,
    "renew_lease": lambda store: (store.default_worker, LEASE),
    "ask_worker": lambda store: (*live_worker(store), "quiet"),
    "retire_worker": live_worker,
    "rescue_jobs": expired_worker,
    "declare_dead": lambda store: (*live_worker(store), 3),
    "take_turn": lambda store: ("alerts", SECOND),
    "settle_alerts": an_alert,
    "return_unanswered_claims": lambda store: (*live_worker(store), ()),
}
WRITES |= CASES
READS: dict[str, Callable[[Store], tuple[Any, ...]]] = {
    "get_job": lambda store: (store.kill(),),
    "list_jobs": lambda store: (final_jobs(store)[0], 10, None),
    "count_jobs": lambda store: final_jobs(store)[:1],
    "list_logs": lambda store: (store.kill(),),
    "group_dead_letters": lambda store: (final_jobs(store) and None,),
    "list_queues": lambda store: final_jobs(store)[:0],
    "list_tasks": lambda store: final_jobs(store)[:0],
    "find_duties": lambda store: (live_worker(store)[0], None, frozenset({"send"})),
    "count_ready_or_running": lambda store: (None, frozenset({"send"})) if ready(store) else (),
    "count_scheduled": lambda store: (None, frozenset({"send"})) if ready(store) else (),
    "find_cancelled": live_worker,
    "count_waiting": lambda store: ("default", 10) if ready(store) else (),
    "find_unknown_tasks": lambda store: held(store)[:0],
    "list_pauses": lambda store: paused(store)[:0],
    "list_workers": lambda store: live_worker(store)[:0],
    "count_queues": lambda store: (10,) if final_jobs(store) else (),
    "list_counters": lambda store: (60, 5) if final_jobs(store) else (),
    "sample_runs": lambda store: (2, 60 * SECOND, 5, None, None) if final_jobs(store) else (),
    "search_jobs": lambda store: (JobFilter(queue="default"), 10, None, 1) if final_jobs(store) else (),
    "count_matches": lambda store: (JobFilter(queue="default"), 10, 1) if final_jobs(store) else (),
    "group_recent_dead": lambda store: (10, 100) if final_jobs(store) else (),
}
READS |= LOOKS


def run_all(cut: Cut, name: str, cases: Any, run: Callable[..., Any], when: When) -> list[str]:
    """Run the verb once whole, then once for each of its statements with a cut there; the statements."""
    verb, options = getattr(cut.engine, name.partition(",")[0]), OPTIONS.get(name, {})
    cut.begin()
    args = cases[name](cut.store)
    before = cut.rows()
    seen = len(cut.proxy.statements)
    run(verb, *args, **options)
    after = cut.rows()
    statements = [sql for sql in cut.proxy.statements[seen:] if is_of_a_verb(sql)]
    assert statements
    for place, sql in enumerate(statements):
        cut.begin()
        args = cases[name](cut.store)
        fault = cut.proxy.cut(_statement(place), when=when)
        if "COMMIT" in sql and run == cut.engine.write:
            with pytest.raises(EngineUnavailable, match=r"lost in its COMMIT .*: the call may or may not have been"):
                run(verb, *args, **options)
            assert cut.rows() == (before if when == "before" else after), (place, sql)
        else:
            run(verb, *args, **options)
            assert cut.rows() == after, (place, sql)
        assert fault.happened.is_set()
    return statements


def _statement(place: int) -> Callable[[str], bool]:
    """The verb's statement of this number, from now on."""
    numbers = itertools.count()
    return lambda sql: is_of_a_verb(sql) and next(numbers) == place


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", WRITES)
def test_a_verb_that_writes(cut: Cut, name: str, when: When) -> None:
    """Before its COMMIT was sent it is run again on a new connection, and done once; after it, it was done or not."""
    statements = run_all(cut, name, WRITES, cut.engine.write, when)
    assert "COMMIT" in statements[-1]


@pytest.mark.parametrize("when", ["before", "after"])
def test_many_jobs_are_their_own_transaction(cut: Cut, when: When) -> None:
    engine = cut.engine
    engine.write(engine.insert_jobs, [NEW] * 2)
    cut.begin()
    cut.proxy.cut(is_of_a_verb, when=when)
    with pytest.raises(EngineUnavailable, match="the call may or may not have been carried out"):
        engine.write(engine.insert_jobs, [NEW] * 2)
    assert cut.store.count() == (0 if when == "before" else 2)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_job_with_a_key_is_its_own_transaction(cut: Cut, when: When) -> None:
    """If its answer is lost, the caller may call again: the key tells whether it is there."""
    engine, new = cut.engine, NEW._replace(unique_key="k", unique_rule=UniqueRule("ready"))
    cut.begin()
    cut.proxy.cut(is_of_a_verb, when=when)
    with pytest.raises(EngineUnavailable, match="the call may or may not have been carried out"):
        engine.write(engine.insert_job_at_once, new)
    assert (engine.write(engine.insert_job_at_once, new) is None) == (when == "after")
    assert cut.store.count() == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_claim_at_once_is_its_own_transaction(cut: Cut, when: When) -> None:
    """If its answer is lost the jobs may run, in the store's eyes: the worker's reconciler returns those."""
    engine = cut.engine
    cut.begin()
    (request,) = ready(cut.store)
    cut.proxy.cut(is_of_a_verb, when=when)
    with pytest.raises(EngineUnavailable, match="the call may or may not have been carried out"):
        engine.write(engine.claim_jobs_at_once, request)
    assert cut.store.count(state="running") == (0 if when == "before" else 2)
    assert len(engine.write(engine.claim_jobs_at_once, request).claims) == (2 if when == "before" else 1)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_finish_at_once_is_its_own_transaction(cut: Cut, when: When) -> None:
    """If its answer is lost the worker tells the store again, which then knows them as ended or ends them."""
    engine = cut.engine
    cut.begin()
    (request,) = ready(cut.store)
    finishes = [Completion(claim.id, claim.fence, "null") for claim in engine.write(engine.claim_jobs, request)]
    cut.proxy.cut(is_of_a_verb, when=when)
    with pytest.raises(EngineUnavailable, match="the call may or may not have been carried out"):
        engine.write(engine.finish_jobs_at_once, finishes)
    assert cut.store.count(state="completed") == (0 if when == "before" else 2)
    assert len(engine.write(engine.finish_jobs_at_once, finishes)) == (2 if when == "before" else 0)
    assert engine.write(engine.finish_jobs, finishes).lost == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_inserts_that_wait_together_are_not_stored_twice(cut: Cut, when: When) -> None:
    engine = cut.engine

    async def insert_together() -> list[Any]:
        return await asyncio.gather(*(engine.awrite(engine.insert_job, NEW) for _ in range(20)), return_exceptions=True)

    cut.begin()
    fault = cut.proxy.cut(lambda sql: "WITH ORDINALITY" in sql, when=when)
    answers = asyncio.run(insert_together())
    assert fault.happened.is_set()
    unsure = [answer for answer in answers if isinstance(answer, EngineUnavailable)]
    assert all("may or may not have been carried out" in str(error) for error in unsure)
    assert len(unsure) >= 2
    assert cut.store.count() == len(answers) - (len(unsure) if when == "before" else 0)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_single_insert_is_its_own_transaction(cut: Cut, when: When) -> None:
    """It travels with its commit, so it was carried out or not; the next one is on a new connection."""
    engine = cut.engine
    engine.write(engine.insert_job, NEW)
    cut.begin()
    seen = len(cut.proxy.statements)
    engine.write(engine.insert_job, NEW)
    [sql] = filter(is_of_a_verb, cut.proxy.statements[seen:])
    assert sql.startswith("INSERT INTO")
    fault = cut.proxy.cut(is_of_a_verb, when=when)
    with pytest.raises(EngineUnavailable, match="the call may or may not have been carried out"):
        engine.write(engine.insert_job, NEW)
    assert fault.happened.is_set()
    engine.write(engine.insert_job, NEW)
    assert cut.store.count() == (2 if when == "before" else 3)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", READS)
def test_a_verb_that_reads(cut: Cut, name: str, when: When) -> None:
    run_all(cut, name, READS, cut.engine.read, when)


def test_every_verb_of_the_contract_is_here() -> None:
    nouns = (Jobs, Uniqueness, Control, Leases, Pauses, Alerts, Queries, Figures, Workflows)
    verbs = {name for noun in nouns for name in vars(noun) if not name.startswith("_")}
    assert verbs == {*WRITES, *READS, *AT_ONCE} - {"replay_workflow, whole"}
