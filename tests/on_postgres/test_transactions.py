"""A job enqueued with ``tx=`` exists exactly if that transaction commits, whatever library the caller uses."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import asyncpg
import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tests.behaviour.support import DEADLINE
from tests.postgres import new_schema, server
from turnspit import Turnspit, Unique
from turnspit.errors import EngineError, InvalidPayload, InvalidTransaction, MoveNotAllowed, StoreFrozen


def enqueued(app: Turnspit) -> list[int]:
    return sorted(job.args["order_id"] for job in app.jobs.list())


@pytest.mark.parametrize("commit", [True, False])
def test_psycopg(app: Turnspit, send: Any, connection: psycopg.Connection[Any], commit: bool) -> None:
    connection.row_factory = dict_row
    send.using(tx=connection).enqueue(1)
    app.enqueue_many([send.new(2), send.new(3)], tx=connection)
    assert enqueued(app) == []
    connection.commit() if commit else connection.rollback()
    assert enqueued(app) == ([1, 2, 3] if commit else [])


def test_a_job_and_its_notification_are_one_statement(
    app: Turnspit, send: Any, connection: psycopg.Connection[Any], plain_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send.using(tx=connection).enqueue(1)  # sees to which database this leads
    connection.commit()
    statements, execute = [], psycopg.Cursor.execute

    def note(self: psycopg.Cursor[Any], query: Any, *args: Any, **options: Any) -> Any:
        statements.append(query)
        return execute(self, query, *args, **options)

    with psycopg.connect(plain_url, autocommit=True) as listener:
        listener.execute(f"LISTEN {app.engine.settings.channel}")  # type: ignore[attr-defined]
        monkeypatch.setattr(psycopg.Cursor, "execute", note)
        send.using(tx=connection).enqueue(2)
        monkeypatch.undo()
        assert len(statements) == 1
        connection.commit()
        assert len(list(listener.notifies(timeout=DEADLINE, stop_after=1))) == 1


def test_savepoints_behave(app: Turnspit, send: Any, connection: psycopg.Connection[Any]) -> None:
    with connection.transaction():
        send.using(tx=connection).enqueue(1)
        with connection.transaction(force_rollback=True):
            send.using(tx=connection).enqueue(2)
    assert enqueued(app) == [1]


@pytest.mark.parametrize("commit", [True, False])
def test_async_psycopg(app: Turnspit, send: Any, plain_url: str, commit: bool) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(plain_url) as connection:
            await send.using(tx=connection).aenqueue(1)
            await app.aenqueue_many([send.new(2)], tx=connection)
            await (connection.commit() if commit else connection.rollback())

    asyncio.run(main())
    assert enqueued(app) == ([1, 2] if commit else [])


@pytest.mark.parametrize("commit", [True, False])
def test_in_a_pipeline_of_psycopg(
    app: Turnspit, send: Any, connection: psycopg.Connection[Any], plain_url: str, commit: bool
) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(plain_url) as connection:
            async with connection.pipeline():
                await connection.execute("SELECT 1")
                await send.using(tx=connection).aenqueue(3)
            await (connection.commit() if commit else connection.rollback())

    with connection.pipeline():
        before = connection.execute("SELECT 'the caller''s own'")
        assert send.using(tx=connection).enqueue(1).id
        app.enqueue_many([send.new(2)], tx=connection)
        assert before.fetchall() == [("the caller's own",)]
    connection.commit() if commit else connection.rollback()
    asyncio.run(main())
    assert enqueued(app) == ([1, 2, 3] if commit else [])


@pytest.mark.parametrize("commit", [True, False])
def test_asyncpg(app: Turnspit, send: Any, plain_url: str, commit: bool) -> None:
    async def main() -> None:
        async with asyncpg.create_pool(plain_url, min_size=1, max_size=1) as pool, pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await send.using(tx=connection).aenqueue(1)
            await send.using(tx=connection, delay=3600, tags=["a"]).aenqueue(2)
            await app.aenqueue_many([send.new(3), send.new(4)], tx=connection)
            await (transaction.commit() if commit else transaction.rollback())

    asyncio.run(main())
    assert enqueued(app) == ([1, 2, 3, 4] if commit else [])


@pytest.mark.parametrize("commit", [True, False])
def test_a_sqlalchemy_session(app: Turnspit, send: Any, plain_url: str, commit: bool) -> None:
    engine = create_engine(plain_url.replace("postgresql://", "postgresql+psycopg://"))
    with Session(engine) as session:
        session.execute(text("SELECT 1"))
        send.using(tx=session).enqueue(1)
        app.enqueue_many([send.new(2)], tx=session)
        session.commit() if commit else session.rollback()
    with engine.connect() as connection, connection.begin() as transaction:
        send.using(tx=connection).enqueue(3)
        transaction.commit() if commit else transaction.rollback()
    engine.dispose()
    assert enqueued(app) == ([1, 2, 3] if commit else [])


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
@pytest.mark.parametrize("commit", [True, False])
def test_an_async_sqlalchemy_session(app: Turnspit, send: Any, plain_url: str, driver: str, commit: bool) -> None:
    async def main() -> None:
        engine = create_async_engine(plain_url.replace("postgresql://", f"postgresql+{driver}://"))
        async with AsyncSession(engine) as session:
            await send.using(tx=session).aenqueue(1)
            await app.aenqueue_many([send.new(2)], tx=session)
            await (session.commit() if commit else session.rollback())
        async with engine.connect() as connection:
            await send.using(tx=connection).aenqueue(3)
            await (connection.commit() if commit else connection.rollback())
        await engine.dispose()

    asyncio.run(main())
    assert enqueued(app) == ([1, 2, 3] if commit else [])


def test_a_waiting_worker_starts_it_at_the_commit(
    app: Turnspit, send: Any, connection: psycopg.Connection[Any]
) -> None:
    with app.worker():
        job = send.using(tx=connection).enqueue(7)
        connection.commit()
        assert job.get_result(timeout=DEADLINE) == 7


def test_a_transaction_that_has_failed(app: Turnspit, send: Any, connection: psycopg.Connection[Any]) -> None:
    with pytest.raises(psycopg.Error):
        connection.execute("SELECT nonsense")
    with pytest.raises(InvalidTransaction, match="a statement has failed already"):
        send.using(tx=connection).enqueue(1)


def test_a_failed_transaction_of_a_session(app: Turnspit, send: Any, plain_url: str) -> None:
    engine = create_engine(plain_url.replace("postgresql://", "postgresql+psycopg://"))
    with Session(engine) as session:
        with pytest.raises(Exception, match="nonsense"):
            session.execute(text("SELECT nonsense"))
        with pytest.raises(InvalidTransaction, match="a statement has failed already"):
            send.using(tx=session).enqueue(1)
    engine.dispose()


def test_a_session_that_waits_for_its_rollback(app: Turnspit, send: Any, plain_url: str) -> None:
    engine = create_engine(plain_url.replace("postgresql://", "postgresql+psycopg://"))
    with Session(engine) as session:
        session.connection().invalidate()
        with pytest.raises(InvalidTransaction, match="a statement has failed already"):
            send.using(tx=session).enqueue(1)
    engine.dispose()


def test_a_frozen_store(app: Turnspit, send: Any, connection: psycopg.Connection[Any], plain_url: str) -> None:
    app.migrate()
    app.engine.write(app.engine.freeze_store, "token", "elsewhere", False, "is frozen")
    engine = create_engine(plain_url.replace("postgresql://", "postgresql+psycopg://"))
    with Session(engine) as session:
        for tx in (connection, session):
            with pytest.raises(StoreFrozen, match=r"is frozen"):
                send.using(tx=tx).enqueue(1)
    engine.dispose()


def test_autocommit_without_a_transaction(app: Turnspit, send: Any, plain_url: str) -> None:
    with psycopg.connect(plain_url, autocommit=True) as connection:
        with pytest.raises(InvalidTransaction, match="autocommit mode with no open transaction"):
            send.using(tx=connection).enqueue(1)
        with connection.transaction():
            send.using(tx=connection).enqueue(2)
    assert enqueued(app) == [2]


def test_a_transaction_of_another_server(app: Turnspit, send: Any, store_url: str) -> None:
    other = next(url for version in (16, 18) if not store_url.startswith(url := server(version).url))
    with psycopg.connect(other) as connection, pytest.raises(InvalidTransaction, match="the jobs of this app are in"):
        send.using(tx=connection).enqueue(1)


def test_the_right_verb_is_named(app: Turnspit, send: Any, connection: psycopg.Connection[Any]) -> None:
    with pytest.raises(InvalidTransaction, match="use the verb without an a in front"):
        asyncio.run(send.using(tx=connection).aenqueue(1))
    with pytest.raises(InvalidTransaction, match="not str"):
        send.using(tx="begin").enqueue(1)

    async def main(call: Callable[[Any], object], url: str) -> None:
        connection = await psycopg.AsyncConnection.connect(url)
        with pytest.warns(RuntimeWarning, match="inside a running event loop"):
            call(connection)
        await connection.close()

    def call(tx: Any) -> None:
        with pytest.raises(InvalidTransaction, match="use the verb with an a in front"):
            app.enqueue_many([send.new(1)], tx=tx)

    asyncio.run(main(call, connection.info.dsn))


def test_an_error_in_the_callers_transaction_is_told_in_one_line(
    app: Turnspit, send: Any, connection: psycopg.Connection[Any]
) -> None:
    send.using(tx=connection).enqueue(1)
    connection.execute("SET LOCAL ROLE pg_monitor")
    with pytest.raises(EngineError, match=r"in the transaction given as tx=: permission denied for schema \w+$"):
        send.using(tx=connection).enqueue(2)


def test_a_transaction_that_is_read_only(app: Turnspit, send: Any, connection: psycopg.Connection[Any]) -> None:
    connection.execute("SET TRANSACTION READ ONLY")
    with pytest.raises(EngineError, match=r"tx=: it is read-only, so that nothing can be stored in it$"):
        send.using(tx=connection).enqueue(1)


def test_the_first_use_of_a_store_may_be_a_callers_transaction() -> None:
    with new_schema(18) as url, Turnspit(url) as app, psycopg.connect(server(18).url) as connection:

        @app.task
        def task() -> None: ...

        task.using(tx=connection).enqueue()
        connection.commit()
        assert app.jobs.count() == 1


def test_unique_keys_follow_the_transaction(app: Turnspit, connection: psycopg.Connection[Any]) -> None:
    @app.task(unique=Unique(within=60))
    def invoice(order: int) -> None: ...

    first = invoice.using(tx=connection).enqueue(7)
    assert invoice.using(tx=connection).enqueue(7).id == first.id, "found inside the same transaction"
    connection.rollback()
    with connection.transaction():
        invoice.using(tx=connection).enqueue(8)
        with connection.transaction(force_rollback=True):
            invoice.using(tx=connection).enqueue(9)
    assert not invoice.enqueue(8).created
    assert invoice.enqueue(7).created
    assert invoice.enqueue(9).created


def test_a_workflow_that_is_refused_leaves_nothing_to_commit(
    app: Turnspit, connection: psycopg.Connection[Any]
) -> None:
    """An empty one would be left, which never ends."""

    @app.task
    def say(text: str) -> None: ...

    with pytest.raises(InvalidPayload, match="NUL"), app.workflow("greeting", tx=connection) as flow:
        flow.add(say.new(text="hello\0"))
    connection.commit()
    assert list(app.workflows.list()) == []


def test_who_wants_a_key_of_an_open_transaction_waits_for_its_end(
    app: Turnspit, connection: psycopg.Connection[Any]
) -> None:
    @app.task(unique=Unique())
    def invoice(order: int) -> None: ...

    held = invoice.using(tx=connection).enqueue(7)
    found: list[Any] = []
    waiting = threading.Thread(target=lambda: found.append(invoice.enqueue(7)))
    waiting.start()
    assert invoice.enqueue(8).created, "a call that waits for a key holds up no other"
    assert found == []
    connection.commit()
    waiting.join(DEADLINE)
    assert (found[0].id, found[0].created) == (held.id, False)


@pytest.mark.parametrize("commit", [True, False])
def test_a_key_that_another_transaction_stores_while_it_is_waited_for(
    app: Turnspit, connection: psycopg.Connection[Any], plain_url: str, commit: bool
) -> None:
    @app.task(unique=Unique())
    def invoice(order: int) -> None: ...

    held = invoice.using(tx=connection).enqueue(7)
    found: list[Any] = []
    waiting = threading.Thread(target=lambda: found.append(invoice.enqueue(7)))
    with psycopg.connect(plain_url, autocommit=True) as looking:
        waiting.start()
        while not looking.execute("SELECT FROM pg_locks WHERE NOT granted").fetchall():
            assert waiting.is_alive()
    connection.commit() if commit else connection.rollback()
    waiting.join(DEADLINE)
    assert (found[0].id == held.id, found[0].created) == (commit, not commit)
    assert app.jobs.count() == 1


@pytest.mark.parametrize("commit", [True, False])
def test_cancel_joins_a_transaction(
    app: Turnspit, send: Any, connection: psycopg.Connection[Any], commit: bool
) -> None:
    job = send.enqueue(1)
    assert app.jobs.cancel(job.id, tx=connection) == 1
    own = send.using(tx=connection).enqueue(2)
    assert app.jobs.cancel(own.id, tx=connection) == 1
    with pytest.raises(MoveNotAllowed, match=f"job {own.id} .* is cancelled"):
        app.jobs.cancel(own.id, tx=connection)
    assert job.refresh().state == "ready"
    connection.commit() if commit else connection.rollback()
    assert job.refresh().state == ("cancelled" if commit else "ready")


@pytest.mark.parametrize("commit", [True, False])
def test_cancel_joins_an_async_transaction(app: Turnspit, send: Any, plain_url: str, commit: bool) -> None:
    job = send.enqueue(1)

    async def main() -> None:
        connection = await asyncpg.connect(plain_url)
        transaction = connection.transaction()
        await transaction.start()
        assert await app.jobs.acancel(task="send", tx=connection) == 1
        await (transaction.commit() if commit else transaction.rollback())
        await connection.close()

    asyncio.run(main())
    assert job.refresh().state == ("cancelled" if commit else "ready")
