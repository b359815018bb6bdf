"""A PostgreSQL store with a million live jobs and a million in history, on which verbs are explained."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.types.numeric import Int8Dumper

from tests.contract.store import SECOND, OwnedClock
from tests.postgres import Server
from turnspit.contract.verbs import Row, Statement, Verb
from turnspit.engines.postgres.blocks import to_numbered, to_pyformat
from turnspit.engines.postgres.engine import PostgresEngine
from turnspit.engines.postgres.writer import BY_INDEX
from turnspit.engines.verbs.bounds import ClaimBounds
from turnspit.records import ClaimRequest, Completion, NewJob
from turnspit.transactions import drive

TASKS = frozenset({"send", "print"})
DAY = 86_400 * SECOND
_FAST = ("fsync=off", "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0", "max_wal_size=4GB")
_MEMORY = ("shared_buffers=256MB", "maintenance_work_mem=256MB", "jit=off", "autovacuum=off")

# Half a million ready in one queue, a hundred thousand in a thousand others, and of every other state many.
_JOBS = """INSERT INTO turnspit.jobs (id, task, queue, state, args, attempt, fence, created_at, run_at, started_at,
    finished_at, worker, error_type, fingerprint, tags, lane, is_listed)
SELECT n, CASE WHEN n % 10 = 0 THEN 'print' ELSE 'send' END,
    CASE WHEN n BETWEEN 500001 AND 600000 THEN 'queue' || n % 1000 ELSE 'default' END, state,
    json_build_object('order_id', n), CASE WHEN state = 'dead' THEN 1 ELSE 0 END, 1, {now} - 1000000 + n,
    {now} + 1000000::bigint * CASE WHEN state = 'scheduled' THEN n - 601000 ELSE 0 END,
    CASE WHEN state = 'running' THEN {now} END, CASE WHEN state = 'dead' THEN {now} - n END,
    CASE WHEN state = 'running' THEN n % 10 + 1 END, CASE WHEN state = 'dead' THEN 'ValueError' END,
    CASE WHEN state = 'dead' THEN 'f' || n % 50 END, CASE WHEN n % 1000 = 0 THEN '["vip"]'::json END,
    CASE WHEN n BETWEEN 800001 AND 840000
         THEN format('["default","send",[["r","r [%1$s]",5,1000000,null]],null]', n % 1000)
         WHEN n BETWEEN 840001 AND 850000
         THEN format('"o [%1$s]"' || chr(10) || '["default","send",[["o","o [%1$s]",1,0,null]],null]', n % 1000) END,
    CASE WHEN n BETWEEN 800001 AND 850000 THEN 1 ELSE 0 END
FROM (SELECT n, CASE WHEN n <= 600000 THEN 'ready' WHEN n <= 750000 THEN 'scheduled' WHEN n <= 850000 THEN 'held'
             WHEN n <= 998000 THEN 'dead' ELSE 'running' END AS state FROM generate_series(1, 1000000) AS n) AS job"""
_HISTORY = """INSERT INTO turnspit.history (id, task, queue, state, args, priority, attempt, crashes, fence, created_at,
    run_at, started_at, finished_at, worker)
SELECT 1000000 + n, 'send', 'default', 'completed', '{{"order_id": 7}}', 0, 1, 0, 1, {now}, {now}, {now},
       {now} - (1000000 - n) * 200000, 1 FROM generate_series(1, 1000000::bigint) AS n"""
_LANES = """INSERT INTO turnspit.lanes (lane, queue, task, next_at)
SELECT DISTINCT lane, queue, task, {now} FROM turnspit.jobs WHERE state = 'held' AND lane IS NOT NULL"""
_WORKERS = """INSERT INTO turnspit.workers (id, host, pid, version, tasks, concurrency, started_at, renewed_at,
    expires_at, gapless_since)
SELECT n, 'host', n, '', '["send", "print"]', 10, {now}, {now}, {now} + 15000000, {now}
FROM generate_series(1, 10) AS n"""


_LARGE = re.compile(r"jobs|history|attempts|logs|workflow")
_DAY_OF_PARTITION = re.compile(r"_\d{8}|_stray")


class Cost(NamedTuple):
    """What a verb really touched."""

    rows: int
    """Rows of Turnspit's tables that were read, those that a filter threw away too."""
    pages: int
    ways: frozenset[str]
    """How the large tables were reached: ``Index Scan jobs_ready``, ``Sort`` of what came from there."""


class LargeStore:
    """The engine is never opened, only its verbs are used, on a connection whose transactions are rolled back."""

    def __init__(self, server: Server) -> None:
        self.url = server.url
        self.clock = OwnedClock()
        self.engine = PostgresEngine(server.url, clock=self.clock)
        self.engine.migrate()
        self.connection = psycopg.connect(server.url, autocommit=True)
        self.connection.adapters.register_dumper(int, Int8Dumper)

    def fill(self) -> None:
        now, run = self.clock.moment, self.connection.execute
        indexes = run("SELECT indexdef FROM pg_indexes WHERE tablename = 'jobs' AND indexname <> 'jobs_pkey'")
        definitions = [row[0] for row in indexes.fetchall()]
        with self.connection.transaction():
            run("TRUNCATE turnspit.jobs")  # in the transaction that fills it: it is written without a log
            for _ in range(4):
                run(f"SELECT turnspit.make_partitions({now} - 2 * {DAY})")
            for definition in definitions:
                run(f"DROP INDEX turnspit.{definition.split()[2]}")
            for statement in (_WORKERS, _JOBS, _HISTORY, *definitions):
                run(statement.format(now=now))
            run(_LANES.format(now=now))
            run("ALTER TABLE turnspit.jobs ALTER id RESTART WITH 3000000")
            run("ALTER TABLE turnspit.workers ALTER id RESTART WITH 100")
        run("VACUUM (ANALYZE) turnspit.jobs, turnspit.history")

    def run(self, verb: Verb[Any]) -> Any:
        """Carry a verb out, for good."""
        with self.connection.transaction():
            answer, _ = drive(verb, self._execute)
            return answer

    def insert(self, count: int) -> None:
        drive(self.engine.insert_jobs([NewJob("send", "default", "{}")] * count), self._execute)

    def churn(self, count: int) -> None:
        """Claim and finish the first jobs, for good; the next claim looks behind them."""
        for _ in range(count // 1000):
            with self.connection.transaction():
                self.connection.execute(f"SET LOCAL {BY_INDEX}")
                claims, _ = drive(self.engine.claim_jobs(ClaimRequest(1, 1000, TASKS, ("default",))), self._execute)
                completions = [Completion(claim.id, claim.fence) for claim in claims]
                drive(self.engine.finish_jobs(completions), self._execute)
            self.engine.bounds._front_at = float("inf")  # as after a claim that was slow

    @contextmanager
    def undone(self) -> Iterator[None]:
        """What happens inside is rolled back."""
        with self.connection.transaction(force_rollback=True):
            yield

    def cost(self, verb: Verb[Any], *, reads: bool, prepared: bool = False, behind: bool = False) -> Cost:
        """What every statement of a verb touches while it runs, with the settings of the engine's own connections.

        :param prepared: with the plan that is to fit any parameters, which PostgreSQL may take from the sixth time on.
        :param behind: a claim looks behind the last one.
        """
        costs: list[Cost] = []

        def explain(statement: Statement) -> list[Row]:
            if statement.sql.startswith(("SAVEPOINT", "RELEASE")):
                return self._execute(statement)
            with self.undone():  # an explained statement is carried out
                [(plan,)] = self._explain(statement, prepared)
            costs.append(_cost(plan[0]["Plan"]))
            return self._execute(statement)

        self.engine.bounds = self.engine.bounds if behind else ClaimBounds()
        with self.undone():
            if not reads:
                self.connection.execute(f"SET LOCAL {BY_INDEX}")
            drive(verb, explain)
        ways = frozenset[str]().union(*(cost.ways for cost in costs))
        return Cost(sum(cost.rows for cost in costs), sum(cost.pages for cost in costs), ways)

    def _execute(self, statement: Statement) -> list[Row]:
        cursor = self.connection.execute(to_pyformat(statement.sql), statement.params)
        return cursor.fetchall() if cursor.description is not None else []

    def _explain(self, statement: Statement, prepared: bool) -> list[Row]:
        explain = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "
        if not prepared:
            return self.connection.execute(explain + to_pyformat(statement.sql), statement.params).fetchall()
        text, names = to_numbered(statement.sql)
        assert not isinstance(statement.params, list)
        values = [dict(statement.params)[name] for name in names]
        types = ", ".join("bigint" if isinstance(value, int) else "unknown" for value in values)
        given = sql.SQL(", ").join([sql.Literal(value) for value in values]).as_string(self.connection)
        run = self.connection.execute
        run("SET LOCAL plan_cache_mode = force_generic_plan")
        run(f"PREPARE explained{f' ({types})' if types else ''} AS {text}".encode())
        try:
            return run(f"{explain}EXECUTE explained{f'({given})' if given else ''}".encode()).fetchall()
        finally:
            run("DEALLOCATE explained")


def _cost(plan: dict[str, Any]) -> Cost:
    rows, ways = 0, set()
    for node in _nodes(plan):
        kind, table = node["Node Type"], node.get("Relation Name", "")
        if _LARGE.match(table) and kind.endswith("Scan"):
            removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
            rows += round((node["Actual Rows"] + removed) * node["Actual Loops"])
            if node["Actual Loops"]:
                ways.add(f"{kind} {_DAY_OF_PARTITION.sub('', node.get('Index Name', table))}")
        elif kind.endswith("Sort") and any(_LARGE.match(each.get("Relation Name", "")) for each in _nodes(node)):
            ways.add(kind)
    return Cost(rows, plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], frozenset(ways))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


@contextmanager
def large_store(version: int) -> Iterator[LargeStore]:
    """An empty store on a server of its own, to be filled; removed afterwards."""
    server = Server(version, *_FAST, *_MEMORY)
    try:
        store = LargeStore(server)
        with store.connection:
            yield store
    finally:
        server.remove()
