"""What costs the same on a small store and on a large one. SQLite's steps are counted, so no clock takes part."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contract.store import BOOM, SECOND
from tests.plans.conftest import Bench, make_bench
from turnspit.contract.verbs import Verb
from turnspit.engines.sqlite.engine import SqliteEngine
from turnspit.jobs import JobFilter
from turnspit.records import ClaimRequest, Completion, Ending, EndingMove, NewJob, NewWorker, PruneRequest

SMALL, LARGE = 200, 20_000
TASKS = frozenset({"send"})
NEW = NewJob("send", "default", "{}")
AROUND = ["ready", "scheduled", "held", "dead", "completed"]


def claim(engine: SqliteEngine) -> Verb[Any]:
    return engine.claim_jobs(ClaimRequest(1, 50, TASKS))


def finish(engine: SqliteEngine) -> Verb[Any]:
    return engine.finish_jobs([Completion(job, 1) for job in range(1, 51)])


def end(engine: SqliteEngine) -> Verb[Any]:
    return engine.finish_jobs([Ending(job, 1, EndingMove.RETRY, BOOM, SECOND) for job in range(1, 51)])


def promote(engine: SqliteEngine) -> Verb[Any]:
    return engine.promote_jobs(50)


def prune(engine: SqliteEngine) -> Verb[Any]:
    return engine.prune_jobs(PruneRequest(0, 0, 50))


def insert(engine: SqliteEngine) -> Verb[Any]:
    return engine.insert_jobs([NEW] * 50)


def rescue(engine: SqliteEngine) -> Verb[Any]:
    return engine.rescue_jobs(1, 3)


def give_back(engine: SqliteEngine) -> Verb[Any]:
    return engine.return_jobs([(job, 1) for job in range(1, 51)])


def show(engine: SqliteEngine) -> Verb[Any]:
    return engine.list_jobs(JobFilter(), 50, None)


def show_dead(engine: SqliteEngine) -> Verb[Any]:
    return engine.list_jobs(JobFilter(state="dead"), 50, None)


def get(engine: SqliteEngine) -> Verb[Any]:
    return engine.get_job(7)


def cancel_one(engine: SqliteEngine) -> Verb[Any]:
    return engine.cancel_jobs(JobFilter(id=7), "", 0, 10)


def replay_some(engine: SqliteEngine) -> Verb[Any]:
    return engine.replay_jobs(JobFilter(state="dead"), 0, 50)


def a_store(bench: Bench, around: dict[str, int]) -> None:
    """Fifty running jobs of worker 1, and many others around them."""
    bench.run(bench.engine.register_worker(NewWorker("host", 1, "", None, TASKS, 1, 10**15)))
    bench.fill(50, "running")
    for state, count in around.items():
        bench.fill(count, state)


@pytest.fixture(scope="module", params=[*AROUND, "everything"])
def sizes(request: pytest.FixtureRequest) -> Iterator[list[Bench]]:
    """A small store, and one that is large in one state or in all."""
    benches = []
    for size in (SMALL, LARGE):
        benches.append(make_bench())
        a_store(benches[-1], {state: size if request.param in (state, "everything") else SMALL for state in AROUND})
    yield benches
    for bench in benches:
        bench.connection.close()


@pytest.mark.parametrize(
    "verb",
    [claim, finish, end, promote, prune, insert, rescue, give_back, show, show_dead, get, cancel_one, replay_some],
)
def test_the_cost_does_not_grow_with_the_store(sizes: list[Bench], verb: Callable[[SqliteEngine], Verb[Any]]) -> None:
    costs = []
    for bench in sizes:
        bench.connection.execute("BEGIN")
        costs.append(bench.steps(verb(bench.engine)))
        bench.connection.execute("ROLLBACK")
    small, large = costs
    assert large <= small * 1.3 + 5, f"{small} steps beside {SMALL} jobs, {large} beside {LARGE}"


def test_a_claim_over_a_thousand_queues_serves_few_of_them_in_full(bench: Bench) -> None:
    """One statement for each queue that is asked: not a thousand for a claim of a hundred."""
    a_store(bench, {})
    for number in range(1000):
        bench.fill(10, "ready", queue=f"q{number:04}")
    asked = [line for line in bench.plans(claim(bench.engine)) if "turnspit_jobs_ready (queue=?)" in line]
    assert len(asked) <= 20


def test_jobs_of_others_in_the_same_queue_are_walked_over_without_being_touched(bench: Bench) -> None:
    """This does cost: a queue shared by two apps. It is a walk, not a write, and ends at the limit."""
    a_store(bench, {})
    bench.run(bench.engine.register_worker(NewWorker("host", 2, "", None, frozenset({"report"}), 1, 10**15)))
    bench.fill(LARGE, "ready", task="report")
    bench.run(bench.engine.insert_jobs([NEW] * 50))
    changes = bench.connection.total_changes
    assert len(bench.run(claim(bench.engine))) == 50
    assert bench.connection.total_changes - changes == 50
