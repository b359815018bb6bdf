"""A commit's notification follows on its own connection, and nobody waits for it."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.behaviour.support import DEADLINE, wait_until
from tests.postgres import Server, with_schema
from turnspit import Turnspit
from turnspit.contract.verbs import Statement, Verb
from turnspit.engines.postgres import pipeline, wakeups
from turnspit.engines.postgres.pipeline import Pipeline
from turnspit.errors import EngineError


@pytest.fixture
def heard(app: Turnspit, plain_url: str) -> Iterator[Any]:
    """Waits for so many notifications of the app's store."""
    with psycopg.connect(plain_url, autocommit=True) as listener:
        listener.execute(f"LISTEN {app.engine.settings.channel}")  # type: ignore[attr-defined]
        yield lambda count: len(list(listener.notifies(timeout=DEADLINE, stop_after=count)))


@pytest.fixture
def sender(app: Turnspit) -> Any:
    """The thread that notifies, if there is one by now."""
    return lambda: app.engine.wakeups._sender


def test_a_commit_notifies_by_itself(
    app: Turnspit, send: Any, heard: Any, sender: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "_TOGETHER", 0.0)
    for number in range(3):
        send.enqueue(number)
        assert heard(1) == 1
    assert sender() is None


def test_that_of_a_job_without_options_travels_with_it(
    app: Turnspit, send: Any, heard: Any, sender: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pipeline, "notify", None)  # not called
    send.enqueue(1)
    assert heard(1) == 1
    assert sender() is None
    monkeypatch.undo()
    send.using(delay=60).enqueue(2)  # behind its commit, which tells whether it waits
    assert heard(1) == 1


def test_a_server_that_has_forgotten_its_prepared_statements_is_told_them_again(app: Turnspit, send: Any) -> None:
    for number in range(1, 4):
        send.enqueue(number)
        app.engine.write(_forget)
        assert app.jobs.count() == number


def test_behind_a_job_that_the_server_refuses_the_connection_goes_on(
    app: Turnspit, send: Any, heard: Any, plain_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "_TOGETHER", 0.0)
    jobs = f"{app.engine.settings.schema}.jobs"  # type: ignore[attr-defined]
    send.enqueue(1)
    with psycopg.connect(plain_url, autocommit=True) as other:
        other.execute(f"ALTER TABLE {jobs} ADD CONSTRAINT refuses CHECK (task <> 'send') NOT VALID")
        for _ in range(2):
            with pytest.raises(EngineError, match="refuses"):
                send.enqueue(2)
        other.execute(f"ALTER TABLE {jobs} DROP CONSTRAINT refuses")
    send.enqueue(3)
    assert app.jobs.count() == 2
    assert heard(4) == 4  # who listens looks in vain after two of them


def test_many_that_follow_closely_are_sent_together_by_a_thread(
    app: Turnspit, send: Any, heard: Any, sender: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "_TOGETHER", 60.0)
    for number in range(1 + wakeups._AT_ONCE):
        send.enqueue(number)
        assert heard(1) == 1
    assert sender() is None
    send.enqueue(0)
    assert heard(1) == 1
    assert sender() is not None
    for number in range(20):
        send.enqueue(number)
    app.close()  # the last one is sent, not those between
    assert heard(1) == 1


def test_after_a_rollback_a_commit_notifies_as_before(
    app: Turnspit, send: Any, heard: Any, sender: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "_TOGETHER", 0.0)
    for number in range(1, 10):
        send.enqueue(number)
    assert heard(9) == 9
    with pytest.raises(LookupError):
        app.engine.write(_fail)
    for number in range(3):
        send.enqueue(number)
        assert heard(1) == 1
    assert sender() is None


def test_a_connection_that_ends_behind_a_notification_is_made_anew(
    app: Turnspit, send: Any, plain_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "_TOGETHER", 0.0)
    with psycopg.connect(plain_url, autocommit=True) as other:
        for number in range(1, 6):
            send.enqueue(number)
            other.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE query LIKE 'NOTIFY %'"
                          " AND pid <> pg_backend_pid()")  # fmt: skip
            assert app.jobs.count() == number


def test_a_thread_whose_connection_the_server_ended_notifies_on_a_new_one(
    app: Turnspit, send: Any, heard: Any, plain_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pipeline, "notify", lambda *_: False)
    with psycopg.connect(plain_url, autocommit=True) as other:
        for number in range(3):
            send.enqueue(number)
            assert heard(1) == 1
            other.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE query LIKE '%pg_notify%'"
                          " AND pid <> pg_backend_pid()")  # fmt: skip


def test_a_thread_that_could_not_connect_for_want_of_files_notifies_the_next_time(
    app: Turnspit, send: Any, heard: Any, sender: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, failures = wakeups.connect, [OSError(24, "Too many open files")]

    def fail_once(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return connect(*arguments)

    monkeypatch.setattr(Pipeline, "notify", lambda *_: False)
    monkeypatch.setattr(wakeups, "connect", fail_once)
    send.using(delay=60).enqueue(1)
    wait_until(lambda: not failures and sender().is_idle, "the end of the first one")
    send.using(delay=60).enqueue(2)
    assert heard(1) == 1


def test_who_enqueues_where_no_thread_can_begin_has_enqueued(
    app: Turnspit, send: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    send.enqueue(1)
    monkeypatch.setattr(Pipeline, "notify", lambda *_: False)
    monkeypatch.setattr(wakeups, "_SenderThread", refuse)
    send.enqueue(2)
    assert app.jobs.count() == 2


def test_a_program_that_ends_at_once_has_notified(app: Turnspit, heard: Any, store_url: str) -> None:
    program = """
import sys
from turnspit import Turnspit
app = Turnspit(sys.argv[1])
@app.task
async def send(order_id: int) -> None: ...
send.enqueue(1)
"""
    subprocess.run([sys.executable, "-c", program, store_url], check=True, timeout=DEADLINE)
    assert heard(1) == 1


def test_who_closes_does_not_wait_for_an_answer_that_has_come(
    app: Turnspit, send: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came with that to the job, where this process was slower than the server."""

    def flush(sent: Pipeline) -> None:
        sent._pgconn.flush()
        with socket.socket(fileno=os.dup(sent._pgconn.socket)) as own:
            wait_until(lambda: _peek(own).count(b"Z\0\0\0\5I") == 2, "both answers")

    monkeypatch.setattr(wakeups, "_TOGETHER", 0.0)  # else the second one may be so close that a thread tells of it
    send.enqueue(1)
    sender = app.engine.wakeups._sender  # type: ignore[attr-defined]
    wait_until(lambda: sender is None or sender.is_idle, "a thread with nothing to tell")
    app.engine.write(_nothing)
    monkeypatch.setattr(pipeline, "_CLOSE_TIMEOUT", 60.0)
    monkeypatch.setattr(Pipeline, "_flush", flush)
    send.enqueue(2)
    thread = app.engine._open.writers._thread  # type: ignore[attr-defined]
    app.close()
    thread._thread.join(DEADLINE)
    assert not thread.is_running


@pytest.fixture
def standbyless() -> Iterator[Server]:
    """A server whose commits wait for a standby that does not exist: one that notifies holds the lock of all."""
    server = Server(18, "fsync=off", "synchronous_standby_names=nobody")
    yield server
    server.remove()


def test_a_lock_that_somebody_holds_on_all_notifications_is_waited_for_by_a_thread(
    standbyless: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "_TOGETHER", 0.0)
    with (
        Turnspit(with_schema(standbyless.url, "waits"), durability="relaxed") as app,
        # One that only listens: psycopg 3.2.1 loses a notification that comes during another call.
        psycopg.connect(standbyless.url, autocommit=True) as listener,
        psycopg.connect(standbyless.url, autocommit=True, options="-c synchronous_commit=local") as onlooker,
    ):
        app.migrate()

        @app.task
        async def send(order_id: int) -> None: ...

        listener.execute(f"LISTEN {app.engine.settings.channel}")  # type: ignore[attr-defined]
        holder = threading.Thread(target=_notify_and_wait, args=[standbyless.url])
        holder.start()
        locked = "SELECT FROM pg_locks WHERE locktype = 'object' AND mode = 'AccessExclusiveLock' AND granted"
        wait_until(lambda: bool(onlooker.execute(locked).fetchall()), "the lock")
        send.enqueue(1)
        app.engine.write(_nothing)  # finds that the notification was refused
        assert app.jobs.count() == 1
        assert app.engine.wakeups._sender is not None  # type: ignore[attr-defined]
        onlooker.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        assert list(listener.notifies(timeout=DEADLINE, stop_after=1))
        holder.join()


def _peek(own: socket.socket) -> bytes:
    with contextlib.suppress(BlockingIOError):
        return own.recv(65536, socket.MSG_PEEK)
    return b""


def _nothing() -> Verb[None]:
    yield Statement("SELECT 1", {})


def _forget() -> Verb[None]:
    yield Statement("DEALLOCATE ALL", {})


def _fail() -> Verb[None]:
    """A transaction that is rolled back."""
    yield Statement("SELECT 1", {})
    yield Statement("SELECT 2", {})
    raise LookupError


def _notify_and_wait(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("BEGIN; CREATE TABLE held (); NOTIFY other; COMMIT")
