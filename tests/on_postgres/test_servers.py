"""Servers that are wrong, refuse, or go away."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import NoReturn

import psycopg
import pytest

from tests.behaviour.support import DEADLINE
from tests.postgres import Server, new_schema, server, server_url, with_schema
from turnspit import EngineUnavailable, InvalidPayload, Turnspit
from turnspit.contract import Engine
from turnspit.contract.verbs import Statement, Verb
from turnspit.engines import open_engine
from turnspit.engines.postgres import engine as engine_module
from turnspit.engines.postgres import writer
from turnspit.engines.postgres.connection import Reader
from turnspit.errors import EngineError, SchemaMismatch
from turnspit.records import NewJob

NEW = NewJob("send", "default", "{}")


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """A server that the tests here may stop."""
    own = Server(18, "fsync=off")
    yield own
    own.remove()


def failure(url: str) -> str:
    """What a first call says."""
    engine = open_engine(url, deadline=1)
    with pytest.raises(EngineUnavailable) as raised:
        engine.write(engine.insert_job, NEW)
    engine.close()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_wrong_database_is_named() -> None:
    assert "has no such database" in failure(
        server(18).url.replace("/postgres", "/nowhere").replace("//nowhere", "//postgres")
    )


def test_a_wrong_user_is_named() -> None:
    assert "has no such user" in failure(server(18).url.replace("postgres@", "nobody@"))


def test_nobody_listens() -> None:
    assert "cannot be reached: is the server running, and the URL right? (connection" in failure(
        "postgresql://postgres@127.0.0.1:1/postgres"
    )


def test_a_name_server_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def resolve(host: str, *_: object, **__: object) -> NoReturn:
        asked.append(host)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(engine_module, "monotonic", lambda: 10.0 * len(asked))  # each question takes ten seconds
    engine = open_engine("postgresql://ada@db/shop", deadline=15)
    with pytest.raises(EngineUnavailable, match="cannot be reached: is the server running") as raised:
        engine.read(engine.list_workers)
    assert type(raised.value) is EngineUnavailable
    assert len(asked) == 2


def test_async_callers_of_a_server_that_is_away_wait_for_no_thread_of_the_loop() -> None:
    """Thirty of them waited six times as long as their deadline, for the few threads of ``asyncio.to_thread``."""
    free = Event()

    async def call() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        busy = asyncio.ensure_future(asyncio.to_thread(free.wait, DEADLINE))
        engine = open_engine("postgresql://nobody@127.0.0.1:1/none", deadline=0.1)
        try:
            with pytest.raises(EngineUnavailable):
                await asyncio.wait_for(engine.aread(engine.list_workers), DEADLINE)
        finally:
            free.set()
            await busy

    asyncio.run(call())


def test_a_password_is_never_shown() -> None:
    message = failure("postgresql://ada:hush@127.0.0.1:1/shop")
    assert "hush" not in message
    assert "postgresql://ada@127.0.0.1:1/shop" in message


def test_a_user_without_privileges_is_told(store_url: str, app: Turnspit) -> None:
    schema = app.engine.settings.schema  # type: ignore[attr-defined]
    with psycopg.connect(server_url(store_url), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE guest_{schema} LOGIN; GRANT USAGE ON SCHEMA {schema} TO guest_{schema}")
        connection.execute(f"GRANT SELECT ON {schema}.migrations TO guest_{schema}")
        guest = open_engine(store_url.replace("postgres@", f"guest_{schema}@"))
        with pytest.raises(EngineError, match="this user lacks a privilege") as raised:
            guest.write(guest.insert_job, NEW)
        assert "\n" not in str(raised.value)
        guest.close()
        connection.execute(f"DROP OWNED BY guest_{schema}; DROP ROLE guest_{schema}")


@pytest.mark.unprepared
def test_a_schema_with_somebody_elses_tables_is_told(store_url: str) -> None:
    schema = open_engine(store_url).settings.schema  # type: ignore[attr-defined]
    with psycopg.connect(server_url(store_url), autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.history (id int)")
        app = Turnspit(store_url)
        with pytest.raises(EngineError, match=r"somebody else .* as with \?schema=jobs .*relation \"history\" already"):
            app.jobs.count()
        app.close()
        assert connection.execute(f"SELECT to_regclass('{schema}.jobs')").fetchone() == (None,)


@pytest.mark.unprepared
def test_a_read_only_server_is_told(store_url: str) -> None:
    engine = open_engine(store_url + "&options=-c%20default_transaction_read_only%3Don")
    with pytest.raises(EngineUnavailable, match="is read-only"):
        engine.write(engine.insert_job, NEW)
    engine.close()


def test_a_worker_that_ended_in_order_did_not_die(app: Turnspit) -> None:
    with app.worker(until_empty=True) as worker:
        worker.wait()
    [record] = app.engine.read(app.engine.list_workers)
    assert record.stopped_at == record.expires_at


def test_nul_has_no_place(app: Turnspit) -> None:
    @app.task
    def note(text: str) -> None: ...

    with pytest.raises(InvalidPayload, match="NUL character, which PostgreSQL cannot store"):
        note.enqueue("a\0b")
    with pytest.raises(InvalidPayload, match="NUL character"):
        app.enqueue_many([note.new("a\0b")])
    assert note.enqueue("a backslash, \\u0000").refresh().args == {"text": "a backslash, \\u0000"}


def test_an_error_with_nul_is_kept(app: Turnspit) -> None:
    @app.task
    def fail() -> None:
        raise ValueError("a\0b")

    job = fail.enqueue()
    with app.worker(until_empty=True) as worker:
        worker.wait()
    assert job.refresh().reason == "a\\0b"


def test_a_newer_schema_is_refused_with_the_cure(store_url: str, app: Turnspit) -> None:
    app.close()
    with psycopg.connect(server_url(store_url)) as connection:
        schema = app.engine.settings.schema  # type: ignore[attr-defined]
        connection.execute(f"INSERT INTO {schema}.migrations VALUES (999, 'tomorrow', 999)")
    with pytest.raises(SchemaMismatch, match=r"has schema 999, but this Turnspit knows \d+: upgrade turnspit"):
        app.run_worker(until_empty=True)


@pytest.mark.unprepared
def test_the_printed_script_makes_the_same_schema(store_url: str) -> None:
    engine = open_engine(store_url)
    with psycopg.connect(server_url(store_url), autocommit=True) as connection:
        connection.execute(engine.schema_sql())
    assert engine.migrate() == ()
    assert engine.write(engine.insert_job, NEW).id == 1
    engine.close()


def test_a_restart_of_the_server_loses_nothing(own: Server) -> None:
    with Turnspit(with_schema(own.url, "restart")) as app:

        @app.task
        async def double(number: int) -> int:
            return number * 2

        with app.worker():
            assert double.enqueue(1).get_result(DEADLINE) == 2
            own.stop("fast")
            with ThreadPoolExecutor(1) as thread:
                waiting = thread.submit(double.enqueue, 2)
                own.start()
                assert waiting.result(DEADLINE).get_result(DEADLINE) == 4
            assert double.enqueue(3).get_result(DEADLINE) == 6
        assert app.jobs.count(state="completed") == 3


def test_while_the_server_is_away_a_call_ends_at_its_deadline(own: Server) -> None:
    engine = open_engine(with_schema(own.url, "away"), deadline=0.5)
    engine.write(engine.insert_job, NEW)
    own.stop("fast")
    with pytest.raises(EngineUnavailable):
        engine.write(engine.insert_job, NEW)
    own.start()
    assert engine.write(engine.insert_job, NEW).id > 1
    engine.close()


def test_locked_rows_hold_up_nobody_else(store_url: str, app: Turnspit) -> None:
    """More of them than there are threads that write."""
    engine = open_engine(store_url, deadline=15)
    jobs = [engine.write(engine.insert_job, NEW).id for _ in range(4)]
    schema = app.engine.settings.schema  # type: ignore[attr-defined]

    def lock_out(job: int) -> Verb[None]:
        yield Statement(f"SELECT FROM {schema}.jobs WHERE id = {job} FOR UPDATE", {})

    with psycopg.connect(server_url(store_url)) as other, ThreadPoolExecutor(len(jobs)) as threads:
        other.execute(f"SELECT FROM {schema}.jobs FOR UPDATE")
        stuck = [threads.submit(engine.write, lock_out, job) for job in jobs]
        for _ in range(4):
            engine.write(engine.insert_job, NEW)
        assert not any(future.done() for future in stuck)
        other.commit()
        for future in stuck:
            future.result(DEADLINE)
    engine.close()


def test_a_call_waits_for_no_helper_that_is_about_to_end(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose connection takes long to close had to be waited for by who came then: up to the deadline."""
    engine = open_engine(store_url, deadline=DEADLINE)
    may_close = Event()
    close = Reader._close_connection

    def close_slowly(reader: Reader) -> None:
        assert may_close.wait(DEADLINE)
        close(reader)

    def look() -> Verb[None]:
        yield Statement("SELECT", {})

    def stand() -> Verb[None]:
        yield Statement("SELECT pg_advisory_lock_shared(7)", {})

    monkeypatch.setattr(Reader, "_close_connection", close_slowly)
    with psycopg.connect(server_url(store_url)) as other, ThreadPoolExecutor(1) as thread:
        other.execute("SELECT pg_advisory_lock(7)")
        standing = thread.submit(engine.read, stand)
        for _ in range(3):
            engine.read(look)
        assert not standing.done()
        other.execute("SELECT pg_advisory_unlock(7)")
        standing.result(DEADLINE)
    may_close.set()
    engine.close()


def wait_sync(engine: Engine, verb: Callable[[], Verb[None]]) -> None:
    engine.write(verb)


def wait_async(engine: Engine, verb: Callable[[], Verb[None]]) -> None:
    asyncio.run(engine.awrite(verb))


@pytest.mark.parametrize("wait", [wait_sync, wait_async])
def test_where_no_helper_can_begin_a_call_waits_all_the_same(
    store_url: str,
    app: Turnspit,
    wait: Callable[[Engine, Callable[[], Verb[None]]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where Python ends, or a process may have no more threads."""
    begun, asked = Event(), Event()

    def refuse(*_: object) -> None:
        asked.set()
        raise RuntimeError("can't start new thread")

    def stand() -> Verb[None]:
        yield Statement("SELECT", {})
        begun.set()
        assert asked.wait(DEADLINE)

    def look() -> Verb[None]:
        yield Statement("SELECT", {})

    app.engine.write(look)
    monkeypatch.setattr(app.engine._open.writers, "_make_thread", refuse)  # type: ignore[attr-defined]
    standing = app.engine.write_later(stand)
    assert begun.wait(DEADLINE)
    wait(app.engine, look)
    standing()


@pytest.mark.parametrize("wait", [wait_sync, wait_async])
@pytest.mark.parametrize("deadline", [1, 1.2])
def test_who_waited_for_a_lock_until_the_deadline_hears_of_it(
    store_url: str, app: Turnspit, wait: Callable[[Engine, Callable[[], Verb[None]]], None], deadline: float
) -> None:
    """Not that the call may have been carried out: no attempt begins that could not end before the deadline."""
    engine = open_engine(store_url, deadline=deadline)
    schema = app.engine.settings.schema  # type: ignore[attr-defined]
    attempts = []

    def lock_out() -> Verb[None]:
        attempts.append(True)
        yield Statement(f"SELECT FROM {schema}.jobs FOR UPDATE", {})

    engine.write(engine.insert_job, NEW)
    engine.deadline = DEADLINE  # of who waits here, not of the writer: a busy machine may be slow to tell
    with psycopg.connect(server_url(store_url)) as other:
        other.execute(f"SELECT FROM {schema}.jobs FOR UPDATE")
        with pytest.raises(EngineUnavailable, match="has a row or a table locked by another transaction"):
            wait(engine, lock_out)
    assert len(attempts) * writer._LOCK_TIMEOUT / 1000 < deadline
    engine.close()


def test_a_call_that_nobody_waits_for_any_longer_lets_go_of_its_connection(store_url: str) -> None:
    engine = open_engine(store_url, deadline=0.5)

    def sleep() -> Verb[None]:
        yield Statement(f"SELECT pg_sleep({2 * DEADLINE})", {})

    with pytest.raises(EngineUnavailable, match="may or may not have been carried out"):
        engine.write(sleep)
    engine.deadline = DEADLINE
    assert engine.write(engine.insert_job, NEW).id == 1
    engine.close()


def test_a_pooler_is_polled_only() -> None:
    with new_schema(18) as url, Turnspit(url + "&poll_only=true") as app:

        @app.task
        async def double(number: int) -> int:
            return number * 2

        with app.worker():
            assert double.enqueue(4).get_result(DEADLINE) == 8
        with psycopg.connect(server(18).url) as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%%' AND query LIKE %s"
            assert connection.execute(query, (f"%{url.rpartition('=')[2]}%",)).fetchone() == (0,)


def test_a_socket_is_reached_without_a_host_in_the_url(own: Server) -> None:
    with Turnspit(f"postgresql:///postgres?host={own.folder}&port={own.port}&user=postgres") as app:
        assert app.jobs.count() == 0
