"""A primary and its synchronous standby: what was accepted survives the primary's end."""

import contextlib
import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import psycopg
import pytest
from examples.private_postgres import Server

from tests.behaviour.support import DEADLINE, wait_until
from tests.proxy import Proxy
from turnspit import EngineUnavailable, JobContext, Turnspit
from turnspit.contract import Engine
from turnspit.engines import open_engine
from turnspit.records import NewJob

NEW = NewJob("send", "default", "{}")


class Standby(Server):
    """A copy of a primary that follows it until it is promoted."""

    def __init__(self, primary: Server) -> None:
        self._primary = primary
        super().__init__(primary.version, "fsync=off")

    def _run(self, program: str, *arguments: Any) -> None:
        if program == "initdb":
            program = "pg_basebackup"
            arguments = ("-D", self.data, "-d", self._primary.url, "-R", "-c", "fast", "--no-sync")
        super()._run(program, *arguments)

    def promote(self) -> None:
        self._run("pg_ctl", "-D", self.data, "-w", "promote")


def execute(server: Server, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(server.url, autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description is not None else []


def kill(server: Server) -> None:
    """All its processes at once."""
    first = psutil.Process(int((server.data / "postmaster.pid").read_text().split()[0]))
    for process in (first, *first.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    (server.data / "postmaster.pid").unlink()


@pytest.fixture
def primary() -> Iterator[Server]:
    primary = Server(18, "fsync=off")
    yield primary
    primary.remove()


@pytest.fixture
def standby(primary: Server) -> Iterator[Standby]:
    standby = Standby(primary)
    execute(primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
    execute(primary, "SELECT pg_reload_conf()")
    followed = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
    wait_until(lambda: execute(primary, followed) == [(1,)], "a standby that is waited for")
    yield standby
    standby.remove()


def both(primary: Server, standby: Server) -> str:
    return f"postgresql://postgres@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/postgres"


def test_no_accepted_job_is_lost_when_the_primary_dies_under_load(primary: Server, standby: Standby) -> None:
    """Producers and a worker know both hosts and go on by themselves; every job that was accepted is completed."""
    accepted: list[int] = []
    ledger: list[int] = []
    stop = threading.Event()
    with Turnspit(both(primary, standby), deadline=2) as app, Turnspit(both(primary, standby), deadline=2) as shop:

        @app.task
        async def note(job: JobContext, number: int) -> int:
            ledger.append(job.id)
            return number

        shop.task(name="note")(note.function)

        def produce(numbers: Iterator[int]) -> None:
            while not stop.is_set():
                with contextlib.suppress(EngineUnavailable):
                    accepted.append(shop.tasks["note"].enqueue(next(numbers)).id)

        with app.worker(concurrency=4), ThreadPoolExecutor(3) as producers:
            running = [producers.submit(produce, itertools.count()) for _ in range(3)]
            wait_until(lambda: len(accepted) > 200, "load")
            kill(primary)
            before = len(accepted)
            standby.promote()
            execute(standby, "ALTER SYSTEM SET synchronous_standby_names = ''")
            execute(standby, "SELECT pg_reload_conf()")
            wait_until(lambda: len(accepted) > before + 100, "producers that go on")
            stop.set()
            for each in running:
                each.result(DEADLINE)
            wait_until(lambda: app.jobs.count(state="completed") >= len(accepted), "the end of every job")
        completed = {job.id for job in _all(app)}
    assert set(accepted) <= completed
    assert completed <= set(ledger)


def _all(app: Turnspit) -> Iterator[Any]:
    page = app.jobs.list(state="completed", limit=500)
    yield from page
    while page.next is not None:
        page = app.jobs.list(state="completed", limit=500, after=page.next)
        yield from page


def test_a_commit_that_did_not_wait_for_its_standby_is_no_promise(primary: Server, standby: Standby) -> None:
    """The server cancels its waiting, commits all the same, and warns, of which this role would hear nothing by itself:
    the caller is not told that the job is safe.
    """
    execute(primary, "ALTER ROLE postgres SET client_min_messages = error")
    engine = open_engine(primary.url, deadline=20)
    engine.write(engine.insert_job, NEW)
    standby.stop("fast")
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(engine.write, engine.insert_job, NEW)
        cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        wait_until(lambda: execute(primary, cancel) == [(True,)], "a COMMIT that waits for the standby")
        with pytest.raises(EngineUnavailable, match="the call may or may not have been carried out") as raised:
            waiting.result(DEADLINE)
    assert "synchronous replication" in str(raised.value)
    standby.start()
    assert engine.write(engine.insert_job, NEW).id == 3
    engine.close()


def test_another_warning_takes_no_promise_back(primary: Server) -> None:
    """As of a trigger, or at each transaction of a server that runs out of their numbers."""
    engine = open_engine(primary.url)
    engine.write(engine.insert_job, NEW)
    execute(primary, """CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE WARNING 'database "postgres" must be vacuumed'; RETURN NEW; END $$""")  # fmt: skip
    execute(primary, "CREATE TRIGGER warn BEFORE INSERT ON turnspit.jobs FOR EACH ROW EXECUTE FUNCTION warn()")
    assert engine.write(engine.insert_job, NEW).id == 2
    engine.close()


def test_calls_that_wait_for_a_standby_do_not_pile_up(primary: Server, standby: Standby) -> None:
    """Each that was given up leaves a backend waiting: after the first, calls wait behind one another."""
    engine = open_engine(primary.url, deadline=0.3)
    for _ in range(2):
        engine.write(engine.insert_job, NEW)
    standby.stop("fast")
    for _ in range(6):
        with pytest.raises(EngineUnavailable):
            engine.write(engine.insert_job, NEW)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    [(count,)] = execute(primary, waiting)
    assert 1 <= count <= 3
    standby.start()
    wait_until(lambda: execute(primary, waiting) == [(0,)], "answers of the standby")
    wait_until(lambda: _succeeds(engine), "a call that is answered")
    engine.close()


def _succeeds(engine: Engine) -> bool:
    with contextlib.suppress(EngineUnavailable):
        engine.write(engine.insert_job, NEW)
        return True
    return False


def test_a_connection_to_a_server_that_is_no_primary_any_longer_is_left(primary: Server, standby: Standby) -> None:
    """Behind one name that leads elsewhere after a while, as DNS or a load balancer does."""
    with Proxy(primary.port) as proxy:
        engine = open_engine(proxy.url(primary.url), deadline=5)
        engine.write(engine.insert_job, NEW)
        wait_until(lambda: _has_schema(standby), "the schema on the standby, which replays behind its acknowledgement")
        proxy.lead_to(standby.port)
        proxy.reset()
        with pytest.raises(EngineUnavailable, match="is read-only"):
            engine.write(engine.pause, "queue", "email")  # with a BEGIN, so that it is sent again
        proxy.lead_to(primary.port)
        assert engine.write(engine.pause, "queue", "email")
        engine.close()


def _has_schema(standby: Standby) -> bool:
    with psycopg.connect(f"postgresql://postgres@127.0.0.1:{standby.port}/postgres", autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'turnspit'").fetchone()
    return row is not None and row[0] > 5


def test_of_two_hosts_the_primary_is_used(primary: Server, standby: Standby) -> None:
    engine = open_engine(f"postgresql://postgres@127.0.0.1:{standby.port},127.0.0.1:{primary.port}/postgres")
    assert engine.write(engine.insert_job, NEW).id == 1
    engine.close()
