"""A bare connection with Turnspit's schema, on which verbs are explained and their steps counted."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.store import OwnedClock
from turnspit.contract.verbs import Row, Statement, Verb
from turnspit.engines.sqlite.engine import SqliteEngine
from turnspit.engines.sqlite.schema import SqliteSchema
from turnspit.transactions import drive


def _as_before(plan: list[Row]) -> list[str]:
    """A plan's lines as SQLite 3.40 says them. Newer ones find more indexes to be covering, tell of joins that once
    were subqueries, make a Bloom filter of a list of ids before they take the same steps, and sort what EXCEPT gets.
    """
    sides = {line[0] for line in plan if line[3] in ("LEFT", "RIGHT")}
    return [
        text.replace(" USING COVERING INDEX", " USING INDEX").replace(" EXISTS ", " ")
        for _, parent, _, text in plan
        if "BLOOM FILTER" not in text and not (parent in sides and text == "USE TEMP B-TREE FOR ORDER BY")
    ]


class Bench:
    """Runs verbs on a connection of its own."""

    def __init__(self, engine: SqliteEngine, clock: OwnedClock) -> None:
        self.engine = engine
        self.clock = clock
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.executescript(SqliteSchema().sql())

    def run(self, verb: Verb[Any]) -> Any:
        return drive(verb, self._execute)[0]

    def _execute(self, statement: Statement) -> list[Row]:
        if statement.many:
            self.connection.executemany(statement.sql, statement.params)
            return []
        return self.connection.execute(statement.sql, statement.params).fetchall()

    def plans(self, verb: Verb[Any]) -> list[str]:
        """What SQLite says of every statement of a verb, while it runs."""
        lines: list[str] = []

        def explain(statement: Statement) -> list[Row]:
            params = statement.params[0] if statement.many else statement.params
            rows = self.connection.execute(f"EXPLAIN QUERY PLAN {statement.sql}", params).fetchall()
            lines.extend(_as_before(rows))
            return self._execute(statement)

        drive(verb, explain)
        return lines

    def steps(self, verb: Verb[Any]) -> int:
        """What a verb costs, in hundreds of steps of SQLite's machine: no clock takes part."""
        ticks = 0

        def tick() -> None:
            nonlocal ticks
            ticks += 1

        self.connection.set_progress_handler(tick, 100)
        self.run(verb)
        self.connection.set_progress_handler(None, 0)
        return ticks

    def fill(self, count: int, state: str, *, queue: str = "default", task: str = "send", priority: int = 0) -> None:
        """Rows as they are after long use, written at once."""
        if state in ("completed", "cancelled"):
            self._fill_history(count, state, queue, task)
            return
        self.connection.execute(
            """WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < :count)
               INSERT INTO turnspit_jobs (task, queue, state, args, priority, attempt, fence, created_at, run_at,
                   started_at, finished_at, worker, error_type, reason, fingerprint)
               SELECT :task, :queue, :state, '{}', :priority, 1, 1, :now, :now - n,
                      CASE WHEN :state = 'running' THEN :now END, CASE WHEN :state = 'dead' THEN :now - n END,
                      CASE WHEN :state = 'running' THEN 1 END, 'ValueError', 'boom', 'f' || (n % 10) FROM number""",
            {
                "count": count,
                "task": task,
                "queue": queue,
                "state": state,
                "priority": priority,
                "now": self.clock.moment,
            },
        )

    def _fill_history(self, count: int, state: str, queue: str, task: str) -> None:
        self.connection.execute(
            """WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < :count)
               INSERT INTO turnspit_history (id, task, queue, state, args, priority, attempt, crashes, fence,
                   created_at, run_at, started_at, finished_at, worker, result, result_until)
               SELECT n + (SELECT coalesce(max(id), 1000000000) FROM turnspit_history), :task, :queue, :state, '{}', 0,
                      1, 0, 1, :now, :now, :now, :now - n, 1, 'null', :now + n FROM number""",
            {"count": count, "task": task, "queue": queue, "state": state, "now": self.clock.moment},
        )


def make_bench() -> Bench:
    """The engine is never opened, only its verbs are used."""
    clock = OwnedClock()
    return Bench(SqliteEngine(Path("/nowhere"), clock=clock), clock)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = make_bench()
    yield bench
    bench.connection.close()
