"""What statements really touch on PostgreSQL, with a million live jobs and a million in history."""

from collections.abc import Callable
from typing import Any, NamedTuple

import psycopg
import pytest

from tests.contract.store import BOOM, SECOND
from tests.plans.large_postgres import DAY, TASKS, LargeStore, large_store
from tests.postgres import VERSIONS
from turnspit.contract.verbs import Verb
from turnspit.engines.postgres.engine import PostgresEngine
from turnspit.jobs import JobFilter
from turnspit.records import (
    ClaimRequest,
    Completion,
    Ending,
    EndingMove,
    JobChanges,
    LimitedRequest,
    LogLine,
    NewJob,
    NewWorker,
    ProgressUpdate,
    PruneRequest,
    UniqueRule,
)

ALIVE = UniqueRule("scheduled,held,ready,running")
RUNNING = range(999000, 999100)


class Case(NamedTuple):
    make: Callable[[PostgresEngine], Verb[Any]]
    rows: int
    """At most so many rows are read."""
    reads: bool = False


def claim(limit: int, queues: tuple[str, ...] | None = ("default",), tasks: frozenset[str] = TASKS) -> ClaimRequest:
    return ClaimRequest(1, limit, tasks, queues)


CASES = {
    "insert": Case(lambda engine: engine.insert_job(NewJob("send", "default", "{}")), 0),
    "insert with options": Case(lambda engine: engine.insert_job(NewJob("send", "default", "{}", delay=1)), 0),
    "insert with a key": Case(
        lambda engine: engine.insert_job_at_once(NewJob("send", "default", "{}", unique_key="k", unique_rule=ALIVE)), 1
    ),
    "claim from one queue": Case(lambda engine: engine.claim_jobs(claim(100)), 250),
    "claim every queue": Case(lambda engine: engine.claim_jobs(claim(100, None)), 1500),  # a probe for each of 1,001
    "claim every tenth job": Case(lambda engine: engine.claim_jobs(claim(100, tasks=frozenset({"print"}))), 1200),
    "claim from queues without work": Case(lambda engine: engine.claim_jobs(claim(100, ("a", "b"))), 0),
    "claim at once": Case(lambda engine: engine.claim_jobs_at_once(claim(10)), 30),
    "claim at once from every queue": Case(lambda engine: engine.claim_jobs_at_once(claim(10, None)), 1100),
    "claim one job": Case(lambda engine: engine.claim_jobs(ClaimRequest(1, 1, TASKS, job=5)), 1),
    "finish": Case(lambda engine: engine.finish_jobs([Completion(job, 1) for job in RUNNING]), 100),
    "finish at once": Case(lambda engine: engine.finish_jobs_at_once([Completion(job, 1) for job in RUNNING]), 100),
    "end": Case(lambda engine: engine.finish_jobs([Ending(999000, 1, EndingMove.RETRY, BOOM, SECOND)]), 10),
    "end many": Case(
        lambda engine: engine.finish_jobs([Ending(job, 1, EndingMove.RETRY, BOOM, SECOND) for job in RUNNING]), 1000
    ),
    "return": Case(lambda engine: engine.return_jobs([(job, 1) for job in RUNNING]), 100),
    "progress": Case(
        lambda engine: engine.record_progress([ProgressUpdate(999000, 1, 0.5, None, (LogLine(1, None, "info", ""),))]),
        10,
    ),
    "promote": Case(lambda engine: engine.promote_jobs(100), 210),
    "prune": Case(lambda engine: engine.prune_jobs(PruneRequest(2 * DAY, SECOND // 10, 100)), 600),
    "register": Case(
        lambda engine: engine.register_worker(NewWorker("host", 1, "", None, frozenset({"new"}), 1, SECOND)), 0
    ),
    "admit held jobs": Case(lambda engine: engine.admit_jobs(TASKS, 100), 220),
    # 64 lanes a round, in eight rounds: of each the first jobs, then those that are taken.
    "claim limited jobs": Case(lambda engine: engine.claim_limited_jobs(LimitedRequest(1, 50, TASKS)), 2000),
    "free slots": Case(lambda engine: engine.free_slots([1, 2, 3]), 0),
    "renew": Case(lambda engine: engine.renew_lease(1, SECOND), 0),
    "rescue nobody": Case(lambda engine: engine.rescue_jobs(1, 3), 50),
    "return unanswered": Case(lambda engine: engine.return_unanswered_claims(1, set(range(998000, 1000001))), 250),
    "count what waits": Case(lambda engine: engine.count_waiting("default", 100), 210, reads=True),
    "find cancelled": Case(lambda engine: engine.find_cancelled(1), 250, reads=True),
    "get a live job": Case(lambda engine: engine.get_job(7), 10, reads=True),
    "get an ended job": Case(lambda engine: engine.get_job(1_500_000), 10, reads=True),
    "list": Case(lambda engine: engine.list_jobs(JobFilter(), 50, None), 110, reads=True),
    "list a later page": Case(lambda engine: engine.list_jobs(JobFilter(), 50, 500_000), 110, reads=True),
    "list dead letters": Case(lambda engine: engine.list_jobs(JobFilter(state="dead"), 50, None), 60, reads=True),
    "list running jobs": Case(lambda engine: engine.list_jobs(JobFilter(state="running"), 50, None), 2100, reads=True),
    "list completed jobs": Case(
        lambda engine: engine.list_jobs(JobFilter(state="completed"), 50, None), 60, reads=True
    ),
    "list cancelled jobs": Case(
        lambda engine: engine.list_jobs(JobFilter(state="cancelled"), 50, None), 60, reads=True
    ),
    "list the holder of a key": Case(
        lambda engine: engine.list_jobs(JobFilter(unique_key="k"), 50, None), 10, reads=True
    ),
    "cancel the holder of a key": Case(lambda engine: engine.cancel_jobs(JobFilter(unique_key="k"), "", 0, 10), 10),
    "list one group": Case(
        lambda engine: engine.list_jobs(JobFilter(state="dead", fingerprint="f7"), 50, None), 60, reads=True
    ),
    "count dead letters": Case(lambda engine: engine.count_jobs(JobFilter(state="dead")), 150_000, reads=True),
    "count running jobs": Case(lambda engine: engine.count_jobs(JobFilter(state="running")), 2100, reads=True),
    "group dead letters": Case(lambda engine: engine.group_dead_letters(None), 150_000, reads=True),
    # 501 queues whose line is not empty, each counted up to ten; the rest up to a thousand of each state.
    "count queues": Case(lambda engine: engine.count_queues(10), 25_000, reads=True),
    "unknown tasks": Case(lambda engine: engine.find_unknown_tasks(), 100, reads=True),
    "counters": Case(lambda engine: engine.list_counters(60, 1), 0, reads=True),
    "sample runs": Case(lambda engine: engine.sample_runs(60, 60 * SECOND, 20, None, None), 1300, reads=True),
    "search by queue": Case(
        lambda engine: engine.search_jobs(JobFilter(queue="none"), 50, None, 1000), 6100, reads=True
    ),
    "search by argument": Case(
        lambda engine: engine.search_jobs(JobFilter(args={"order_id": 0}), 50, 500_000, 1000), 6100, reads=True
    ),
    "search scheduled jobs, which are many": Case(
        lambda engine: engine.search_jobs(JobFilter(state="scheduled"), 50, None, 1000), 4100, reads=True
    ),
    "search running jobs, which are few": Case(
        lambda engine: engine.search_jobs(JobFilter(state="running"), 50, None, 5000), 6200, reads=True
    ),
    "search dead letters by task": Case(
        lambda engine: engine.search_jobs(JobFilter(state="dead", task="none"), 50, None, 1000), 2100, reads=True
    ),
    "search cancelled jobs by task": Case(
        lambda engine: engine.search_jobs(JobFilter(state="cancelled", task="none"), 50, None, 1000), 0, reads=True
    ),
    "count matches": Case(lambda engine: engine.count_matches(JobFilter(task="none"), 1000, 1000), 4100, reads=True),
    "count ready jobs": Case(lambda engine: engine.count_matches(JobFilter(state="ready"), 1000, 1), 1100, reads=True),
    "group recent dead": Case(lambda engine: engine.group_recent_dead(1000, 100), 1100, reads=True),
    "cancel one": Case(lambda engine: engine.cancel_jobs(JobFilter(id=5), "", 0, 1000), 10),
    "cancel a portion": Case(lambda engine: engine.cancel_jobs(JobFilter(), "", 500_000, 1000), 3100),
    "replay dead letters": Case(lambda engine: engine.replay_jobs(JobFilter(state="dead"), 0, 1000), 3100),
    "replay one group": Case(
        lambda engine: engine.replay_jobs(JobFilter(state="dead", fingerprint="f7"), 0, 1000), 6000
    ),
    "replay a portion of history": Case(
        lambda engine: engine.replay_jobs(JobFilter(state="completed"), 1_500_000, 1000), 6000
    ),
    "replay one": Case(lambda engine: engine.replay_jobs(JobFilter(id=1_500_000), 0, 1000), 10),
    "delete one": Case(lambda engine: engine.delete_jobs(JobFilter(id=1_500_000), 0, 1000), 10),
    "update": Case(lambda engine: engine.update_job(5, JobChanges(priority=1)), 2),
    "run now": Case(lambda engine: engine.run_jobs_now(JobFilter(id=700_000), 0, 1000), 4),
    "run a portion now": Case(lambda engine: engine.run_jobs_now(JobFilter(state="scheduled"), 600_000, 1000), 6000),
}


def dear(store: LargeStore, *, prepared: bool) -> list[str]:
    """The cases that touch more than they may."""
    found = []
    for name, case in CASES.items():
        cost = store.cost(case.make(store.engine), reads=case.reads, prepared=prepared)
        if cost.rows > case.rows or cost.pages > 60 * max(case.rows, 10):
            found.append(f"{name}: {cost}")
    return found


def plans_of_a_small_store(store: LargeStore) -> list[str]:
    """A worker keeps the plans that were made before a million jobs came; they go by an index, and sort nothing."""
    found: list[str] = []
    with store.undone():
        store.insert(3)
        for name, case in CASES.items():
            if not case.reads and name.startswith(("claim", "finish", "return", "promote", "renew", "rescue")):
                ways = store.cost(case.make(store.engine), reads=False, prepared=True).ways
                avoided = ("Seq Scan",) if "at once" in name else ("Seq Scan", "Sort")  # at once: of the busy queues
                found += [f"{name}: {way}" for way in ways if way.startswith(avoided)]
    return found


@pytest.mark.timeout(180)  # it takes 20 s, on a busy machine thrice as long
@pytest.mark.parametrize("version", VERSIONS)
def test_a_million_jobs_cost_no_more_than_a_few(version: int) -> None:
    with large_store(version) as store:
        assert plans_of_a_small_store(store) == []
        store.fill()
        assert dear(store, prepared=False) == []
        assert dear(store, prepared=True) == []
        with psycopg.connect(store.url) as other:
            other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            other.execute("SELECT count(*) FROM turnspit.workers")  # from now on nothing that is removed goes away
            store.churn(20_000)
            finish = store.engine.finish_jobs([Completion(job, 1) for job in RUNNING])
            assert store.cost(finish, reads=False).rows <= 100
            behind = store.cost(store.engine.claim_jobs(claim(100)), reads=False, behind=True)
            assert behind.rows <= 250
            assert behind.pages <= 3000
            assert "Index Scan jobs_ready" in behind.ways, "by ids alone it would walk over the jobs of other queues"
