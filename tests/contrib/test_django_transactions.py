"""A Django connection as ``tx=``, and ``atomic()`` joined without it, on both engines."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import django
import pytest
from asgiref.local import Local
from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.core.exceptions import SynchronousOnlyOperation
from django.db import DatabaseError, connection, connections, transaction

from tests.behaviour.support import DEADLINE
from tests.contrib.databases import django_database
from turnspit import JobContext, JobDead, Retry, Turnspit
from turnspit.errors import InvalidTransaction
from turnspit.tasks import Task


@pytest.fixture
def app(store_url: str) -> Iterator[Turnspit]:
    """An app whose store is in Django's database ``default``, joined as ``contrib.django`` does it."""
    if not settings.configured:
        settings.configure(USE_TZ=True)
        django.setup()
    from turnspit.contrib.django.database import DjangoTransactions  # it needs the settings

    connections.settings = connections.configure_settings({"default": django_database(store_url)})
    connections._connections = Local(connections.thread_critical)  # those of the test before, in all threads
    with Turnspit(store_url) as app:
        app.migrate()
        app.join(DjangoTransactions("default"))
        yield app
    connections.close_all()
    asyncio.run(sync_to_async(connections.close_all)())


@pytest.fixture
def send(app: Turnspit) -> Task[[int], int]:
    @app.task
    def send(order_id: int) -> int:
        return order_id

    return send


class Undo(Exception):
    """Rolls a block back."""


def stored(app: Turnspit) -> list[int]:
    """The orders whose jobs another process sees."""
    app.join(None)
    return sorted(job.args["order_id"] for job in app.jobs.list())


def undone(block: Callable[[], None]) -> None:
    def rolled_back() -> None:
        with transaction.atomic():
            block()
            raise Undo

    with pytest.raises(Undo):
        rolled_back()


@pytest.mark.parametrize("commits", [True, False])
def test_a_django_connection_as_tx(app: Turnspit, send: Any, commits: bool) -> None:
    app.join(None)

    def block() -> None:
        send.using(tx=connection).enqueue(1)
        send.using(tx=connections["default"]).enqueue(2)
        app.enqueue_many([send.new(3)], tx=connection)
        assert stored(app) == [], "nobody else sees it before the commit"

    if commits:
        with transaction.atomic():
            block()
    else:
        undone(block)
    assert stored(app) == ([1, 2, 3] if commits else [])


@pytest.mark.parametrize("commits", [True, False])
def test_atomic_is_joined_by_itself(app: Turnspit, send: Any, commits: bool) -> None:
    def block() -> None:
        send.enqueue(1)
        app.enqueue_many([send.new(2), send.new(3)])
        app.enqueue_message({"task": "send", "args": {"order_id": 4}})
        doomed = send.enqueue(5)
        app.jobs.delete(doomed.id)
        assert app.jobs.count() == 4, "a caller sees what it has stored"

    if commits:
        with transaction.atomic():
            block()
    else:
        undone(block)
    assert stored(app) == ([1, 2, 3, 4] if commits else [])


@pytest.mark.parametrize("commits", [True, False])
def test_a_cancellation_is_part_of_the_transaction_too(app: Turnspit, send: Any, commits: bool) -> None:
    job = send.enqueue(1)

    def block() -> None:
        app.jobs.cancel(job.id)
        assert app.jobs.get(job.id).state == "cancelled"

    if commits:
        with transaction.atomic():
            block()
    else:
        undone(block)
    assert app.jobs.get(job.id).state == ("cancelled" if commits else "ready")


def test_nested_atomic_blocks_and_savepoints_behave(app: Turnspit, send: Any) -> None:
    with transaction.atomic():
        send.enqueue(1)
        undone(lambda: send.enqueue(2))
        with transaction.atomic():
            send.enqueue(3)
        undone(lambda: [send.enqueue(4), undone(lambda: send.enqueue(5))])
    assert stored(app) == [1, 3]


def test_outside_of_atomic_it_is_stored_at_once(app: Turnspit, send: Any) -> None:
    send.enqueue(1)
    asyncio.run(send.aenqueue(2))
    assert stored(app) == [1, 2]


def test_a_waiting_worker_starts_at_the_commit(app: Turnspit, send: Any) -> None:
    """Not at the end of a savepoint, not after a rollback; and without waiting for its next poll."""
    started = threading.Event()
    app.on("started")(lambda _: started.set())
    with app.worker():
        send.enqueue(0).get_result(timeout=DEADLINE)
        started.clear()
        undone(lambda: send.enqueue(1))
        with transaction.atomic():
            with transaction.atomic():
                job = send.enqueue(2)
            assert not started.is_set()
        assert job.get_result(timeout=DEADLINE) == 2
    assert stored(app) == [0, 2]


@pytest.mark.on_sqlite
def test_the_bell_rings_once_at_the_commit_and_never_before(app: Turnspit, send: Any) -> None:
    """PostgreSQL's NOTIFY is part of the transaction; on a file it is ours to wait for the commit."""
    heard: list[str] = []
    app.engine.wakeups.send = lambda wakes: heard.extend(wake.kind for wake in wakes)  # type: ignore[method-assign]
    undone(lambda: send.enqueue(1))
    with transaction.atomic():
        undone(lambda: send.enqueue(2))
        with transaction.atomic():
            send.enqueue(3)
        app.jobs.list()
        assert heard == []
    assert heard == ["ready"]


@pytest.mark.parametrize("commits", [True, False])
def test_a_job_is_finished_in_atomic(app: Turnspit, commits: bool) -> None:
    @app.task(retry=Retry(attempts=1))
    def work(job: JobContext) -> None:
        try:
            with transaction.atomic():
                job.finish(connection, result="done")
                if not commits:
                    raise Undo
        except Undo:
            pass
        finally:
            connection.close()

    with app.worker():
        job = work.enqueue()
        if commits:
            assert job.get_result(timeout=DEADLINE) == "done"
        else:
            with pytest.raises(JobDead, match="FinishNotCommitted"):
                job.get_result(timeout=DEADLINE)


def test_a_job_joins_its_own_atomic_block(app: Turnspit, send: Any) -> None:
    @app.task
    def enqueues_inside() -> None:
        try:
            undone(lambda: send.using(delay=3600).enqueue(1))
            with transaction.atomic():
                send.using(delay=3600).enqueue(2)
        finally:
            connection.close()

    with app.worker():
        enqueues_inside.enqueue().get_result(timeout=DEADLINE)
    app.join(None)
    assert [job.args for job in app.jobs.list(task="send")] == [{"order_id": 2}]


def test_async_code_joins_what_its_sync_code_is_in(app: Turnspit, send: Any) -> None:
    """As the async ORM: an async verb runs where Django runs the sync code of the coroutine."""

    def view() -> None:
        with transaction.atomic():
            async_to_sync(send.aenqueue)(1)
            assert async_to_sync(app.jobs.acount)() == 1
            raise Undo

    with pytest.raises(Undo):
        view()

    async def aview() -> None:
        await sync_to_async(view)()

    with pytest.raises(Undo):
        asyncio.run(aview())
    assert stored(app) == []


def test_what_is_refused_says_what_to_do(app: Turnspit, send: Any) -> None:
    with pytest.raises(InvalidTransaction, match=r"no open transaction: call within `with transaction\.atomic\(\):`"):
        send.using(tx=connection).enqueue(1)
    with transaction.atomic(), pytest.raises(InvalidTransaction, match="use the verb without an a in front"):
        async_to_sync(send.using(tx=connection).aenqueue)(1)

    async def main() -> None:
        with pytest.warns(RuntimeWarning, match="inside a running event loop"), pytest.raises(SynchronousOnlyOperation):
            send.using(tx=connection).enqueue(1)

    asyncio.run(main())
    assert stored(app) == []


def test_a_block_in_which_a_statement_failed(app: Turnspit, send: Any) -> None:
    with transaction.atomic():
        with pytest.raises(DatabaseError), transaction.atomic(savepoint=False):
            connection.cursor().execute("SELECT nonsense")
        with pytest.raises(InvalidTransaction, match="a statement has failed already"):
            send.enqueue(1)
        transaction.set_rollback(True)
    assert stored(app) == []


def test_a_connection_of_another_database(app: Turnspit, send: Any, tmp_path: Any) -> None:
    app.join(None)
    connections.settings["other"] = connections.configure_settings(
        {"default": django_database(f"sqlite:///{tmp_path}/other.db")}
    )["default"]
    other = r"a transaction of .*other\.db|Django connection that uses sqlite3\.Connection, but .* PostgreSQL"
    with transaction.atomic(using="other"), pytest.raises(InvalidTransaction, match=other):
        send.using(tx=connections["other"]).enqueue(1)
    connections["other"].close()
    with transaction.atomic(), pytest.raises(InvalidTransaction, match=r"takes a Django connection, .* not Atomic"):
        send.using(tx=transaction.atomic()).enqueue(1)
