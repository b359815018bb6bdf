"""``EXPLAIN QUERY PLAN`` of what runs often: a statement that leaves its index is slow only on a large store."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.store import BOOM, SECOND
from tests.plans.conftest import Bench
from turnspit.contract.verbs import Verb
from turnspit.engines.sqlite.engine import SqliteEngine
from turnspit.jobs import JobFilter
from turnspit.records import (
    ClaimRequest,
    Completion,
    Ending,
    EndingMove,
    JobChanges,
    Lane,
    LimitedRequest,
    LimitRule,
    LogLine,
    NewJob,
    NewWorker,
    ProgressUpdate,
    PruneRequest,
)

TASKS = frozenset({"send"})
NEW = NewJob("send", "default", "{}")
STATES = ["ready", "scheduled", "held", "running", "dead", "completed", "cancelled"]


def no_statistics(bench: Bench) -> None:
    """As every store is, unless somebody runs ANALYZE."""


def statistics_of_an_empty_store(bench: Bench) -> None:
    bench.connection.execute("ANALYZE")


def statistics_of_a_full_store(bench: Bench) -> None:
    for state in STATES:
        bench.fill(300, state)
    bench.connection.execute("ANALYZE")


def statistics_of_a_store_of_dead_letters(bench: Bench) -> None:
    bench.fill(3000, "dead")
    bench.fill(3, "ready")
    bench.connection.execute("ANALYZE")


@pytest.fixture(
    params=[
        no_statistics,
        statistics_of_an_empty_store,
        statistics_of_a_full_store,
        statistics_of_a_store_of_dead_letters,
    ],
    ids=lambda prepare: prepare.__name__,
)
def known(request: pytest.FixtureRequest, bench: Bench) -> Bench:
    """Whatever SQLite knows of the tables, it must go by an index."""
    request.param(bench)
    bench.run(bench.engine.register_worker(NewWorker("host", 1, "", None, TASKS, 1, SECOND)))
    return bench


ROW_BY_ID = r"SEARCH (turnspit_\w+|job|own) USING INTEGER PRIMARY KEY \(rowid[=<>]\?\)"
ROWS_BY_JOB = r"SEARCH turnspit_(attempts|logs) USING .*\(job=\?( AND fence=\?)?\)"
HARMLESS = (
    r"SCAN \S+ VIRTUAL TABLE|SCAN CONSTANT ROW|CO-ROUTINE|S\w+ \(subquery|.*SUBQUERY|SETUP|RECURSIVE STEP|"
    r"COMPOUND QUERY|UNION ALL|MERGE|LEFT|RIGHT|SCAN (busy|line|named)$|"
    r"MATERIALIZE|EXCEPT|S\w+ (turnspit_pauses|pause)\b"
)
"""Lists given by us or by whoever pauses, and words about the shape of the plan."""

READY = r"SEARCH (turnspit_jobs|job) USING INDEX turnspit_jobs_ready \(queue=\?\)"
LIVE = r"SEARCH live USING INTEGER PRIMARY KEY"
WORKERS = r"SCAN turnspit_workers"
"""There are few."""

WORKFLOWS = [
    r"S\w+ turnspit_workflow_ends\b",  # what is left of large fan-outs
    r"S\w+ turnspit_workflows USING INDEX turnspit_workflows_look_at",
]

CASES: dict[str, tuple[Callable[[SqliteEngine], Verb[Any]], list[str]]] = {
    "insert_job": (lambda engine: engine.insert_job(NEW), []),
    "insert_job with options": (lambda engine: engine.insert_job(NEW._replace(delay=1)), []),
    "insert_jobs": (
        lambda engine: engine.insert_jobs([NEW]),
        ["SEARCH sqlite_sequence", "SEARCH turnspit_jobs$"],  # a row for each of three tables; the largest id
    ),
    "claim one queue": (
        lambda engine: engine.claim_jobs(ClaimRequest(1, 10, TASKS, ("default",))),
        [READY, WORKERS],
    ),
    "claim every queue": (
        lambda engine: engine.claim_jobs(ClaimRequest(1, 10, TASKS)),
        [WORKERS, r"SEARCH (turnspit_jobs|job) USING INDEX turnspit_jobs_ready( \(queue[=>]\?\))?$"],
    ),
    "claim one job": (lambda engine: engine.claim_jobs(ClaimRequest(1, 1, TASKS, job=1)), []),
    "finish": (
        lambda engine: engine.finish_jobs([Completion(1, 1), Completion(2, 1, "null")]),
        ["USE TEMP B-TREE FOR GROUP BY"],  # of the few that end together
    ),
    "end": (lambda engine: engine.finish_jobs([Ending(1, 1, EndingMove.RETRY, BOOM, SECOND)]), []),
    "end many": (
        lambda engine: engine.finish_jobs([Ending(job, 1, EndingMove.RETRY, BOOM, SECOND) for job in (1, 2)]),
        [],
    ),
    "return": (lambda engine: engine.return_jobs([(1, 1), (2, 1)]), []),
    "progress": (
        lambda engine: engine.record_progress([ProgressUpdate(1, 1, 0.5, None, (LogLine(1, None, "info", ""),))]),
        [],
    ),
    "promote": (
        lambda engine: engine.promote_jobs(10),
        [
            r"SEARCH turnspit_jobs USING INDEX turnspit_jobs_scheduled( \(run_at<\?\))?$",
            r"SEARCH turnspit_jobs USING INDEX turnspit_jobs_expires \(expires_at[<>]\?\)",
        ],
    ),
    "prune": (
        lambda engine: engine.prune_jobs(PruneRequest(SECOND, SECOND)),
        [
            r"SEARCH turnspit_history USING INDEX turnspit_history_finished \(finished_at<\?\)",
            r"SEARCH turnspit_history USING INDEX turnspit_history_result_until \(result_until<\?\)",
            r"SEARCH turnspit_jobs USING INDEX turnspit_jobs_dead_finished \(finished_at<\?\)",
            r"SEARCH turnspit_counters USING PRIMARY KEY \(minute<\?\)",
            WORKERS,
        ],
    ),
    "register": (
        lambda engine: engine.register_worker(NewWorker("host", 1, "", None, TASKS, 1, SECOND)),
        [
            r"SEARCH turnspit_jobs USING INDEX turnspit_jobs_held \(task=\? AND lane=\? AND paused_by=\?\)",
            r"SEARCH turnspit_jobs USING INDEX turnspit_jobs_paused( \(paused_by[=>]\?\))?$",
        ],
    ),
    "renew": (lambda engine: engine.renew_lease(1, SECOND), []),
    "ask a worker": (lambda engine: engine.ask_worker(1, "stop"), []),
    "rescue": (
        lambda engine: engine.rescue_jobs(1, 3),
        # The outbox holds what ended within the last moments only.
        [r"SCAN turnspit_jobs USING INDEX turnspit_jobs_running", WORKERS, "SCAN turnspit_outbox", LIVE],
    ),
    "return unanswered": (
        lambda engine: engine.return_unanswered_claims(1, set()),
        [r"SEARCH turnspit_jobs USING INDEX turnspit_jobs_running \(worker=\?\)"],
    ),
    "find cancelled": (
        lambda engine: engine.find_cancelled(1),
        [r"SEARCH turnspit_jobs USING INDEX turnspit_jobs_running \(worker=\?\)"],
    ),
    "get": (lambda engine: engine.get_job(1), []),
    "list": (lambda engine: engine.list_jobs(JobFilter(), 50, None), []),
    "list dead letters": (
        lambda engine: engine.list_jobs(JobFilter(state="dead"), 50, None),
        [r"SEARCH job USING INDEX turnspit_jobs_dead \(id<\?\)"],
    ),
    "list the holder of a key": (
        lambda engine: engine.list_jobs(JobFilter(unique_key="k"), 50, None),
        ["SEARCH turnspit_unique_keys USING PRIMARY KEY"],
    ),
    "cancel the holder of a key": (
        lambda engine: engine.cancel_jobs(JobFilter(unique_key="k"), "", 0, 10),
        ["SEARCH turnspit_unique_keys USING PRIMARY KEY"],
    ),
    "logs": (lambda engine: engine.list_logs(1), []),
    "update": (lambda engine: engine.update_job(1, JobChanges(priority=1)), []),
    "run now": (lambda engine: engine.run_jobs_now(JobFilter(id=1), 0, 10), []),
    "cancel one": (lambda engine: engine.cancel_jobs(JobFilter(id=1), "", 0, 10), []),
    "replay one": (lambda engine: engine.replay_jobs(JobFilter(id=1), 0, 10), []),
    "delete one": (lambda engine: engine.delete_jobs(JobFilter(id=1), 0, 10), []),
    "replay dead letters": (
        lambda engine: engine.replay_jobs(JobFilter(state="dead"), 0, 10),
        [r"SEARCH turnspit_jobs USING INDEX turnspit_jobs_dead \(id>\?\)"],
    ),
    "duties": (
        lambda engine: engine.find_duties(1, ("default",), TASKS),
        [
            r"S\w+ turnspit_jobs USING INDEX turnspit_jobs_(ready|running|scheduled|held)",
            r"S\w+ turnspit_jobs USING INDEX turnspit_jobs_(lane|paused|expires)",
            "SEARCH turnspit_schedules USING INDEX turnspit_schedules_next_tick",
            *WORKFLOWS,
            WORKERS,
            "SCAN owner$",
            "SCAN turnspit_outbox",
            LIVE,
            "SCALAR|CORRELATED|SCAN served",
        ],
    ),
    "sample runs": (
        lambda engine: engine.sample_runs(2, SECOND, 5, None, None),
        [
            r"SEARCH turnspit_history USING INDEX turnspit_history_finished \(finished_at>\? AND",
            "CORRELATED LIST|SCAN slot|SCAN CONSTANT|USE TEMP B-TREE FOR ORDER BY",  # of the sample
        ],
    ),
    "counters": (
        lambda engine: engine.list_counters(60, 1),
        [r"SEARCH turnspit_counters USING PRIMARY KEY \(minute>\?\)", "USE TEMP B-TREE FOR GROUP BY"],
    ),
    "waiting": (
        lambda engine: engine.count_waiting("default", 10),
        [
            r"SEARCH turnspit_jobs USING INDEX turnspit_jobs_ready \(queue=\?\)",
            r"SEARCH turnspit_jobs USING INDEX turnspit_jobs_held_queue \(queue=\?\)",
        ],
    ),
    "what is left": (
        lambda engine: engine.count_ready_or_running(("default",), TASKS),
        [
            r"SEARCH turnspit_jobs USING INDEX turnspit_jobs_held \(task=\? AND lane>\?\)",
            r"SCAN turnspit_jobs USING INDEX turnspit_jobs_running",
            r"S\w+ turnspit_jobs USING INDEX turnspit_jobs_ready",
            *WORKFLOWS,
        ],
    ),
    "what is left for later": (
        lambda engine: engine.count_scheduled(("default",), TASKS),
        [r"S\w+ turnspit_jobs USING INDEX turnspit_jobs_scheduled"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_statement_that_runs_often_goes_by_its_index(known: Bench, case: str) -> None:
    verb, own_ways = CASES[case]
    allowed = re.compile("|".join([ROW_BY_ID, ROWS_BY_JOB, HARMLESS, *own_ways]))
    lines = known.plans(verb(known.engine))
    assert [line for line in lines if not allowed.match(line)] == []


@pytest.mark.parametrize("case", [case for case, (_, own_ways) in CASES.items() if own_ways])
def test_every_index_is_there_for_somebody(bench: Bench, case: str) -> None:
    verb, own_ways = CASES[case]
    bench.run(bench.engine.register_worker(NewWorker("host", 1, "", None, TASKS, 1, SECOND)))
    lines = bench.plans(verb(bench.engine))
    assert [way for way in own_ways if way != WORKERS and not any(re.match(way, line) for line in lines)] == []


def test_a_claim_sorts_nothing_and_walks_one_index(known: Bench) -> None:
    known.fill(100, "ready", priority=3)
    lines = known.plans(known.engine.claim_jobs(ClaimRequest(1, 10, TASKS, ("default",))))
    assert [line for line in lines if "B-TREE" in line] == []
    found, taken, told = [line for line in lines if "turnspit_jobs" in line or " job " in line]
    assert re.match(READY, found)
    assert re.match(ROW_BY_ID, taken)
    assert re.match(ROW_BY_ID, told)


def test_queues_are_counted_without_looking_at_every_row(bench: Bench) -> None:
    lines = bench.plans(bench.engine.list_queues())
    assert "SCAN turnspit_jobs" not in lines


def test_dead_letters_are_grouped_by_their_index(known: Bench) -> None:
    lines = known.plans(known.engine.group_dead_letters(None))
    assert "SCAN turnspit_jobs USING INDEX turnspit_jobs_dead_groups" in lines


@pytest.mark.parametrize("state", STATES)
def test_counting_one_state_goes_by_its_index(bench: Bench, state: str) -> None:
    """Completed and cancelled jobs are counted by a walk through the smallest index of history."""
    lines = bench.plans(bench.engine.count_jobs(JobFilter(state=state)))
    assert lines
    if state not in ("completed", "cancelled"):
        assert all("USING" in line and "INDEX" in line for line in lines), lines


SEARCHES = {
    "by task": (JobFilter(task="none"), 3000),
    "by argument": (JobFilter(args={"n": 1}), 5000),
    "ready": (JobFilter(state="ready"), 1500),
    "dead by task": (JobFilter(state="dead", task="none"), 1500),
    "cancelled by task": (JobFilter(state="cancelled", task="none"), 1500),
}


@pytest.mark.parametrize("case", SEARCHES)
def test_a_search_costs_the_same_on_a_store_ten_times_as_large(bench: Bench, case: str) -> None:
    """In hundreds of steps of SQLite's machine."""
    filter_, most = SEARCHES[case]
    for size in (3000, 27_000):
        for state in STATES:
            bench.fill(size, state)
        assert bench.steps(bench.engine.search_jobs(filter_, 50, None, 500)) < most
        assert bench.steps(bench.engine.count_matches(filter_, 500, 500)) < most
    assert bench.steps(bench.engine.count_queues(100)) < 300
    assert bench.steps(bench.engine.find_unknown_tasks()) < 100
    assert bench.steps(bench.engine.group_recent_dead(500, 100)) < 1000


LIMITED = (
    r"SEARCH (turnspit_jobs|job) USING INDEX turnspit_jobs_(lane|ordered) \((lane|<expr>)=\?\)|"
    r"S\w+ turnspit_jobs USING INDEX turnspit_jobs_unlisted|S\w+ (turnspit_lanes|due)\b|"
    r"S\w+ turnspit_(slots|limits)\b|SCAN turnspit_limit_changes|SEARCH ended USING|USE TEMP B-TREE FOR ORDER BY"
)
"""Whatever happens to limited jobs goes by their lane or their key; there are few lanes that are due."""


def test_limited_jobs_go_by_their_indexes(known: Bench) -> None:
    rate, one = LimitRule("r", "r", 5, SECOND), LimitRule("o", "o", 1, 0)
    lanes = [Lane("default", "send", (rate,)), Lane("default", "send", (one,), None, "o")]
    for lane in lanes:
        known.run(known.engine.insert_jobs([NEW._replace(lane=lane.to_text())] * 3))
    lines = known.plans(known.engine.claim_limited_jobs(LimitedRequest(1, 10, TASKS)))
    lines += known.plans(known.engine.prune_limits(10))
    allowed = re.compile("|".join([ROW_BY_ID, HARMLESS, WORKERS, LIMITED]))
    assert [line for line in lines if not allowed.match(line)] == []
    assert any("turnspit_jobs_ordered" in line for line in lines)
    assert any("turnspit_jobs_lane" in line for line in lines)
