"""A store that is away for longer than a lease, and workers that go on by themselves: on real servers."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NoReturn

import psycopg
import pytest
from examples.private_postgres import Server

from tests.behaviour.support import DEADLINE, wait_until
from tests.outages import outlive
from tests.postgres import with_schema
from tests.proxy import Proxy
from turnspit import EngineUnavailable, JobContext, Turnspit
from turnspit.contract.verbs import Statement, Verb
from turnspit.engines.postgres import connection as connection_module
from turnspit.engines.postgres import writer as writer_module
from turnspit.engines.postgres.opening import Connection, cut
from turnspit.engines.postgres.pipeline import Pipeline
from turnspit.jobs import JobFilter
from turnspit.records import NewJob, NewWorker


class Place:
    """A server, and the proxy before it."""

    def __init__(self) -> None:
        self.server = Server(18, "fsync=off", "max_connections=30", "superuser_reserved_connections=3")
        self.proxy = Proxy(self.server.port)

    @property
    def url(self) -> str:
        return self.proxy.url(self.server.url).replace("postgres@", "worker@")

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description is not None else []

    def end_backends(self) -> None:
        self.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'worker'")


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    place = Place()
    place.execute("CREATE ROLE worker LOGIN; GRANT ALL ON DATABASE postgres TO worker")
    yield place
    place.proxy.close()
    place.server.remove()


@contextlib.contextmanager
def stopped(place: Place) -> Iterator[None]:
    place.server.stop("immediate")
    try:
        yield
    finally:
        place.server.start()


@contextlib.contextmanager
def terminated(place: Place) -> Iterator[None]:
    """As soon as a connection is made, it is ended."""
    stop = threading.Event()

    def end_all() -> None:
        while not stop.is_set():
            place.end_backends()

    thread = threading.Thread(target=end_all)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def exhausted(place: Place) -> Iterator[None]:
    """Others hold every connection that there is."""
    place.execute("ALTER ROLE worker CONNECTION LIMIT 0")
    place.end_backends()
    try:
        yield
    finally:
        place.execute("ALTER ROLE worker CONNECTION LIMIT -1")


@contextlib.contextmanager
def read_only(place: Place) -> Iterator[None]:
    """As a server does that is about to be replaced."""
    place.execute("ALTER ROLE worker SET default_transaction_read_only = on")
    place.end_backends()
    try:
        yield
    finally:
        place.execute("ALTER ROLE worker RESET default_transaction_read_only")


@contextlib.contextmanager
def swallowed(place: Place) -> Iterator[None]:
    """Half-open: no byte comes through, and nobody says so."""
    place.proxy.swallow()
    try:
        yield
    finally:
        place.proxy.pass_on()


OUTAGES = [stopped, terminated, exhausted, read_only, swallowed]


@pytest.mark.parametrize("outage", OUTAGES)
def test_workers_outlive_an_outage_longer_than_their_lease(
    place: Place, outage: Callable[[Place], AbstractContextManager[None]], caplog: pytest.LogCaptureFixture
) -> None:
    url = with_schema(place.url, outage.__name__) + "&connect_timeout=2"
    # Where connections are ended one by one, a call comes through now and then.
    outlive(url, lambda: outage(place), caplog, is_whole=outage is not terminated)


def cut_before(place: Place, words: str) -> None:
    place.proxy.cut(lambda sql: words in sql, when="before")


def cut_after(place: Place, words: str) -> None:
    place.proxy.cut(lambda sql: words in sql, when="after")


def end_at(place: Place, words: str) -> None:
    """The server says that it ends the connection, as the answer to this statement."""

    def matches(sql: str) -> bool:
        if words in sql and not ended:
            ended.append(sql)
            place.end_backends()
        return False

    ended: list[str] = []
    place.proxy.cut(matches, when="before")


@pytest.mark.parametrize("words", ["SHOW synchronous", "FROM pg_class", "CREATE TABLE", "COMMIT", "SET lock_timeout"])
@pytest.mark.parametrize("fault", [cut_before, cut_after, end_at])
def test_a_worker_whose_first_connection_is_lost_at_this_statement_registers(
    place: Place, fault: Callable[[Place, str], None], words: str
) -> None:
    first = len(place.proxy.statements)
    fault(place, words)
    with Turnspit(with_schema(place.url, f"first_{fault.__name__}_{words.rsplit(maxsplit=1)[-1].lower()}")) as app:
        new = NewWorker("host", 1, "1", None, frozenset(), 1, 15_000_000)
        worker = asyncio.run(app.engine.awrite(app.engine.register_worker, new))
        assert [record.id for record in app.engine.read(app.engine.list_workers)] == [worker]
    said = [sql for sql in place.proxy.statements[first:] if words in sql]
    assert len(said) > 1, "it was lost, and said again"


@pytest.fixture
def failing_socket(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The next statement fails as it does where the socket breaks before the driver has read from it: the connection
    is not closed then. What it was.
    """
    failed: list[str] = []

    def fail(connection: Connection, statement: Statement) -> NoReturn:
        failed.append(statement.sql)
        cut(connection)
        assert not connection.closed
        raise psycopg.OperationalError("connection socket closed")

    def fail_once(on: Any, statement: Statement) -> list[Any]:
        return execute(on, statement) if failed else fail(getattr(on, "connection", on), statement)

    def fail_once_in_pipeline(pipeline: Pipeline, statement: Statement, payload: str | None) -> list[Any]:
        return execute_in(pipeline, statement, payload) if failed else fail(pipeline._connection, statement)

    execute, execute_in = connection_module.execute, Pipeline.execute
    for module in (connection_module, writer_module):
        monkeypatch.setattr(module, "execute", fail_once)
    monkeypatch.setattr(Pipeline, "execute", fail_once_in_pipeline)
    return failed


def test_what_fails_on_an_open_connection_by_its_socket_is_run_again(place: Place, failing_socket: list[str]) -> None:
    failing_socket.append("none yet")
    with Turnspit(with_schema(place.url, "socket")) as app:
        app.engine.write(app.engine.insert_job, NewJob("hold", "default", "{}"))
        assert app.jobs.count() == 1
        failing_socket.clear()
        assert app.jobs.count() == 1
        assert len(failing_socket) == 1
        new = NewWorker("host", 1, "1", None, frozenset(), 1, 15_000_000)
        failing_socket.clear()
        assert app.engine.write(app.engine.register_worker, new) == 1
        failing_socket.clear()
        with pytest.raises(EngineUnavailable, match="may or may not have been carried out"):
            app.engine.write(app.engine.insert_job, NewJob("hold", "default", "{}"))
        assert "INSERT INTO" in failing_socket[0]


def test_a_lease_is_renewed_while_every_writer_waits_for_a_lock(place: Place) -> None:
    with Turnspit(with_schema(place.url, "locked"), deadline=15) as app, psycopg.connect(place.server.url) as other:
        engine = app.engine
        engine.write(engine.insert_job, NewJob("hold", "default", "{}"))
        worker = engine.write(
            engine.register_worker, NewWorker("host", 1, "1", None, frozenset({"hold"}), 1, 15_000_000)
        )
        other.execute("SELECT FROM locked.jobs FOR UPDATE")

        def lock() -> Verb[None]:
            yield Statement("SELECT FROM locked.jobs FOR UPDATE", {})

        threads = [threading.Thread(target=engine.write, args=(lock,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        # One of them, and a helper where the others came too late to be tried in turn with the first.
        held = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        wait_until(lambda: place.execute(held), "a writer that waits")
        assert engine.write_apart(engine.renew_lease, worker, 15_000_000)
        other.rollback()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("query", ["", "&poll_only=true"])
def test_reads_that_were_given_up_keep_no_connection_while_a_table_is_locked(place: Place, query: str) -> None:
    """Else a migration that takes minutes would use up max_connections."""
    url = with_schema(place.url, "altered") + query
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'worker' AND wait_event_type = 'Lock'"
    with Turnspit(url) as app:
        app.engine.prepare()
    with Turnspit(url, deadline=0.5) as app, psycopg.connect(place.server.url) as other:
        other.execute("LOCK TABLE altered.jobs")
        for _ in range(3):
            with pytest.raises(EngineUnavailable):
                app.engine.read(app.engine.count_jobs, JobFilter())
        wait_until(lambda: place.execute(waiting) == [(0,)], "the server to give these reads up")


def test_what_a_job_reports_while_its_row_is_locked_is_kept(place: Place) -> None:
    """As by a backend that has not noticed yet that its client is gone."""
    begun, may_report, may_end = threading.Event(), threading.Event(), threading.Event()
    with Turnspit(with_schema(place.url, "reports")) as app, psycopg.connect(place.server.url) as other:

        @app.task
        def talk(job: JobContext) -> None:
            begun.set()
            assert may_report.wait(DEADLINE)
            job.progress(0.5)
            job.log("said while it was locked")
            assert may_end.wait(DEADLINE)

        with app.worker():
            job = talk.enqueue()
            assert begun.wait(DEADLINE)
            other.execute("SELECT FROM reports.jobs FOR UPDATE")
            may_report.set()
            asked = "SELECT id, fence FROM reports.jobs WHERE id ="
            wait_until(lambda: any(asked in sql for sql in place.proxy.statements), "a report that finds it locked")
            assert app.jobs.get(job.id).progress is None
            other.rollback()
            wait_until(lambda: app.jobs.get(job.id).progress == 0.5, "the report")
            assert [line.message for line in app.jobs.get(job.id).get_logs()] == ["said while it was locked"]
            may_end.set()
            job.get_result(DEADLINE)
