"""Whatever waits together and whatever fails: who is answered with ids has stored just these jobs, who hears of an
error has stored nothing, or hears that it may have. On both engines, over schedules of chance, the same in each run.
"""

import asyncio
import itertools
import random
import re
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest

from tests.postgres import new_schema, server_url
from tests.proxy import Proxy
from turnspit.contract import Engine
from turnspit.contract.verbs import Verb
from turnspit.engines.postgres import PostgresEngine
from turnspit.engines.postgres import writer as postgres_writer
from turnspit.engines.sqlite import connection as sqlite_connection
from turnspit.engines.sqlite.engine import SqliteEngine
from turnspit.records import NewJob, UniqueRule

REFUSED, REFUSED_AT_COMMIT = 5, 6
"""Priorities of jobs that a trigger refuses."""
KINDS = ("plain", "plain", "plain", "keyed", "two", "refuse", "refuse late", "trigger", "trigger at commit")


class Gate:
    """Holds the writer up at the beginning of its next transaction, until calls wait behind the first one."""

    def __init__(self) -> None:
        self.may_pass: list[threading.Event] = []

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def held(*args: Any) -> Any:
            if self.may_pass:
                assert self.may_pass.pop().wait(20)
            return function(*args)

        return held


class Calls:
    """Calls of random kinds, and what must be stored after each."""

    _firsts = itertools.count()

    def __init__(self, engine: Engine, choose: random.Random) -> None:
        self._engine = engine
        self._choose = choose
        self.kinds = [choose.choice(KINDS) for _ in range(choose.randint(1, 8))]
        self.first = next(self._firsts) * 100
        """Marks the first call's jobs. What an earlier example cancelled may still come."""

    def start(self, mark: int) -> Awaitable[Any]:
        """Begin the call of this number."""
        engine, kind = self._engine, self.kinds[mark]
        new: NewJob[None] = NewJob("send", "default", f'{{"mark": {self.first + mark}}}', self._choose.randint(0, 2))

        def refuse(*, late: bool) -> Verb[None]:
            if late:
                yield from engine.insert_job(new)
            raise LookupError("refused")

        if kind == "two":
            return engine.awrite(engine.insert_jobs, [new, new._replace(priority=3)])
        if kind.startswith("refuse"):
            return engine.awrite(refuse, late=kind == "refuse late")
        if kind == "keyed":
            rule = UniqueRule("ready")
            return engine.awrite(
                engine.insert_job, new._replace(unique_key=f"key {self.first + mark}", unique_rule=rule)
            )
        if kind.startswith("trigger"):
            new = new._replace(priority=REFUSED if kind == "trigger" else REFUSED_AT_COMMIT)
        return engine.awrite(engine.insert_job, new)

    def check(self, mark: int, answer: Any, stored: list[int]) -> None:
        """Compare an answer with the jobs that are stored for it."""
        count = 2 if self.kinds[mark] == "two" else 1
        if isinstance(answer, asyncio.CancelledError) or "may or may not" in str(answer):
            assert len(stored) in (0, count), (self.kinds, mark, stored, answer)
        elif isinstance(answer, BaseException):
            assert stored == [], (self.kinds, mark, stored, answer)
        else:
            ids = sorted(answer) if count == 2 else [answer.id]
            assert (stored, len(ids)) == (ids, count), (self.kinds, mark, stored, answer)


def run_together(gate: Gate, calls: Calls, choose: random.Random, fail: Callable[[], None]) -> list[Any]:
    """The answers to calls that were made while the first of them waited to begin."""

    async def run() -> list[Any]:
        may_pass = threading.Event()
        gate.may_pass.append(may_pass)
        futures = [asyncio.ensure_future(calls.start(mark)) for mark in range(len(calls.kinds))]
        await asyncio.sleep(0)
        if choose.random() < 0.2:
            choose.choice(futures).cancel()
        fail()
        may_pass.set()
        return await asyncio.gather(*futures, return_exceptions=True)

    return asyncio.run(run())


class Breakable(sqlite3.Connection):
    """Fails at chosen statements."""

    failures: ClassVar[dict[int, bool]] = {}
    """By the number of the statement: whether the transaction is rolled back too, as by a full disk."""
    seen = 0
    only = ""

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        self._fail(sql)
        return super().execute(sql, *args)

    def executemany(self, sql: str, *args: Any) -> sqlite3.Cursor:
        self._fail(sql)
        return super().executemany(sql, *args)

    def _fail(self, sql: str) -> None:
        kind = type(self)
        if not kind.failures or not sql.startswith(kind.only):
            return
        kind.seen += 1
        rolls_back = kind.failures.pop(kind.seen, None)
        if rolls_back is None:
            return
        if rolls_back and self.in_transaction:
            super().execute("ROLLBACK")
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def sqlite_engine(path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteEngine]:
    connect = sqlite3.connect
    monkeypatch.setattr(
        "turnspit.engines.sqlite.connection.sqlite3.connect",
        lambda *args, **options: connect(*args, factory=Breakable, **options),
    )
    monkeypatch.setattr(sqlite_connection, "begin", gate.before(sqlite_connection.begin))
    engine = SqliteEngine(path, deadline=20, durability="relaxed")
    engine.prepare()
    yield engine
    engine.close()


@pytest.mark.on_sqlite
def test_on_sqlite(sqlite_engine: SqliteEngine, gate: Gate) -> None:
    """Errors at any statement, and of whole transactions."""
    look = sqlite3.connect(sqlite_engine.path, isolation_level=None)
    look.execute(
        f"CREATE TRIGGER own BEFORE INSERT ON turnspit_jobs WHEN new.priority IN ({REFUSED}, {REFUSED_AT_COMMIT}) "
        "BEGIN SELECT raise(ABORT, 'refused'); END"
    )

    def hold(seed: int) -> None:
        choose = random.Random(seed)
        calls = Calls(sqlite_engine, choose)

        def fail() -> None:
            Breakable.seen, Breakable.only = 0, choose.choice(["", "", "COMMIT", "ROLLBACK", "SAVEPOINT", "INSERT"])
            Breakable.failures = {
                choose.randint(1, 20): choose.random() < 0.5 for _ in range(choose.choice([0, 0, 1, 3]))
            }

        answers = run_together(gate, calls, choose, fail)
        Breakable.failures = {}
        asyncio.run(_finish(sqlite_engine))
        rows = look.execute("SELECT id, json_extract(args, '$.mark') FROM turnspit_jobs ORDER BY id").fetchall()
        look.execute("DELETE FROM turnspit_jobs")
        _check(calls, answers, rows)

    for seed in range(300):
        hold(seed)
    look.close()


@pytest.fixture(params=[False, True], ids=["", "poll_only"])
def postgres(request: pytest.FixtureRequest, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    group = postgres_writer.Writer._group
    monkeypatch.setattr(postgres_writer.Writer, "_group", gate.before(group))
    with new_schema(18) as url:
        port = int(re.findall(r"127\.0\.0\.1:(\d+)", url)[0])
        with Proxy(port) as proxy:
            engine = PostgresEngine(proxy.url(url), deadline=20, durability="relaxed", poll_only=request.param)
            engine.prepare()
            with psycopg.connect(server_url(url), autocommit=True) as look:
                yield engine, proxy, look
            engine.close()


def test_on_postgres(postgres: Any, gate: Gate) -> None:
    """Triggers that raise, also in the COMMIT, and connections that are lost before or after any statement."""
    engine, proxy, look = postgres
    jobs = f"{engine.settings.schema}.jobs"
    own = f"{engine.settings.schema}.own"
    look.execute(
        f"CREATE FUNCTION {own}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$; "
        f"CREATE TRIGGER own BEFORE INSERT ON {jobs} FOR EACH ROW WHEN (new.priority = {REFUSED}) "
        f"EXECUTE FUNCTION {own}(); CREATE CONSTRAINT TRIGGER own_at_commit AFTER INSERT ON {jobs} INITIALLY DEFERRED "
        f"FOR EACH ROW WHEN (new.priority = {REFUSED_AT_COMMIT}) EXECUTE FUNCTION {own}()"
    )

    def hold(seed: int) -> None:
        choose = random.Random(seed)
        calls = Calls(engine, choose)

        def fail() -> None:
            for _ in range(choose.randint(0, 2)):
                left = iter(range(choose.randint(0, 12)))
                proxy.cut(lambda sql, left=left: next(left, None) is None, when=choose.choice(["before", "after"]))

        answers = run_together(gate, calls, choose, fail)
        proxy.forget_cuts()
        asyncio.run(_finish(engine))
        rows = look.execute(f"DELETE FROM {jobs} RETURNING id, (args->>'mark')::int").fetchall()
        _check(calls, answers, sorted(rows))

    for seed in range(80):
        hold(seed)


async def _finish(engine: Engine) -> None:
    """After everything that was handed over before, also what nobody waits for any longer."""
    await engine.awrite(engine.insert_jobs, [])


def _check(calls: Calls, answers: list[Any], rows: list[Any]) -> None:
    stored: defaultdict[int, list[int]] = defaultdict(list)
    for job, mark in rows:
        stored[mark].append(job)
    for mark, answer in enumerate(answers):
        calls.check(mark, answer, stored[calls.first + mark])
