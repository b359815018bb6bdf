"""``poll_only`` through a real PgBouncer that lends out connections for one transaction at a time."""

import asyncio
import dataclasses
import os
import re
import socket
import subprocess
from collections.abc import Iterator

import psycopg
import pytest

from tests.behaviour.support import DEADLINE, Gate, wait_until
from tests.debian import environment, unpack_with_libraries
from tests.postgres import Server, hold_port, port_of, with_schema
from turnspit import Turnspit
from turnspit.engines.postgres import doctor
from turnspit.engines.postgres.opening import connect

_SETTINGS = """[databases]
postgres = host=127.0.0.1 port={server_port} dbname=postgres user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
"""


@pytest.fixture(scope="module")
def behind() -> Iterator[Server]:
    """The server behind the pooler, for these tests alone: its sessions are looked at."""
    server = Server(18, "fsync=off", "log_statement=all")
    yield server
    server.remove()


@pytest.fixture(scope="module")
def pooler(behind: Server) -> Iterator[str]:
    """The URL of a PgBouncer with three connections in transaction mode."""
    root = unpack_with_libraries("pgbouncer")
    with hold_port() as held:
        port = port_of(held)
        settings = behind.folder / "pgbouncer.ini"
        settings.write_text(_SETTINGS.format(port=port, server_port=behind.port))
        settings.chmod(0o644)
        process = subprocess.Popen(
            [root / "usr/sbin/pgbouncer", "-q", settings],
            env=environment(root),
            user="nobody" if os.geteuid() == 0 else None,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: _answers(port), "PgBouncer to listen")
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        process.terminate()
        process.wait(DEADLINE)


@pytest.fixture
def app(pooler: str, request: pytest.FixtureRequest) -> Iterator[Turnspit]:
    schema = re.sub(r"\W", "_", request.node.name)[5:40]
    with Turnspit(with_schema(pooler, schema) + "&poll_only=true") as app:
        yield app


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_jobs_run_and_their_results_come_back(app: Turnspit) -> None:
    @app.task
    async def double(number: int) -> int:
        return number * 2

    with app.worker():
        jobs = [double.enqueue(number) for number in range(20)]  # more often than a statement is prepared after
        assert [job.get_result(DEADLINE) for job in jobs] == [number * 2 for number in range(20)]
        ids = app.enqueue_many(double.new(number) for number in range(50))
        assert app.jobs.get(ids[-1]).get_result(DEADLINE) == 98


def test_a_running_job_is_cancelled(app: Turnspit) -> None:
    gate = Gate()

    @app.task
    async def wait_long() -> None:
        gate.came.release()
        await asyncio.Event().wait()

    with app.worker(lease=3):
        job = wait_long.enqueue()
        gate.wait_for()
        assert app.jobs.cancel(job.id) == 1
        wait_until(lambda: job.refresh().state == "cancelled", "the job's end")


def test_it_leaves_nothing_in_the_sessions_that_others_get(app: Turnspit, behind: Server, pooler: str) -> None:
    @app.task
    async def work() -> None: ...

    work.enqueue()
    with app.worker(until_empty=True) as worker:
        worker.wait()
    names = ("lock_timeout", "enable_seqscan", "jit", "synchronous_commit", "idle_in_transaction_session_timeout")
    query = "SELECT name FROM pg_settings WHERE name = ANY (%s) AND setting <> reset_val"
    with psycopg.connect(pooler, autocommit=True, prepare_threshold=None) as connection:
        assert connection.execute(query, (list(names),)).fetchall() == []
    with psycopg.connect(behind.url, autocommit=True) as connection:
        assert connection.execute("SELECT pid FROM pg_locks WHERE locktype = 'advisory'").fetchall() == []
    log = (behind.folder / "log").read_text(errors="replace")
    assert "LISTEN" not in log
    assert "pg_advisory_lock" not in log


def test_without_poll_only_the_cure_is_said(pooler: str) -> None:
    [(subject, is_well, said)] = Turnspit(f"{pooler}?schema=doctor").engine.diagnose()
    assert (subject, is_well) == ("connection", False)
    assert "is behind a pooler: name the server itself, or add poll_only=true to the URL" in said


def test_the_doctor_sees_that_no_notification_comes_through_it(
    pooler: str, app: Turnspit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a pooler that ignores what it is asked at the start: LISTEN succeeds, and nothing ever comes."""
    app.engine.prepare()
    monkeypatch.setattr(doctor, "_PATIENCE", 0.5)
    settings = app.engine.settings  # type: ignore[attr-defined]
    blind = dataclasses.replace(settings, poll_only=False)
    monkeypatch.setattr(doctor, "connect", lambda _: connect(settings))
    found = {subject: (is_well, said) for subject, is_well, said in doctor.diagnose(blind)}
    assert not found["waking"][0]
    assert "is there a pooler in transaction mode in between?" in found["waking"][1]
