"""2. A job enqueued in the caller's own transaction exists exactly if that transaction commits."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool

from turnspit import Turnspit, Unique
from turnspit.errors import ConfigurationError, EngineError, EngineUnavailable, InvalidTransaction, StoreFrozen
from turnspit.tasks import Task

pytestmark = pytest.mark.on_sqlite  # on PostgreSQL: tests/on_postgres/test_transactions.py

Send = Task[[int], int]


@pytest.fixture
def send(app: Turnspit) -> Send:
    @app.task
    def send(order: int) -> int:
        return order

    return send


@pytest.fixture
def database(path: Path, connection: sqlite3.Connection) -> Iterator[Any]:
    """The application's SQLAlchemy engine on the same file, which begins transactions as its manual advises."""
    database = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    _begin_as_documented(database)
    yield database
    database.dispose()


def _begin_as_documented(database: Any) -> None:
    """Without this, pysqlite does not begin before a savepoint: SQLAlchemy's manual, "Serializable isolation"."""

    @event.listens_for(database, "connect")
    def connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(database, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")


def orders_and_jobs(app: Turnspit, connection: sqlite3.Connection) -> tuple[int, int]:
    [(orders,)] = connection.execute("SELECT count(*) FROM orders")
    return orders, app.jobs.count()


INSERT = "INSERT INTO orders DEFAULT VALUES"


@pytest.mark.parametrize("commits", [True, False])
def test_with_your_transaction_of_sqlite3(
    app: Turnspit, send: Send, connection: sqlite3.Connection, commits: bool
) -> None:
    connection.execute(INSERT)
    job = send.using(tx=connection).enqueue(7)
    ids = app.enqueue_many((send.new(number) for number in range(5)), tx=connection, chunk=2)
    assert app.jobs.count() == 0, "nobody else sees it before the commit"
    connection.commit() if commits else connection.rollback()
    assert orders_and_jobs(app, connection) == ((1, 6) if commits else (0, 0))
    if commits:
        assert [app.jobs.get(each).args for each in (job.id, ids[-1])] == [{"order": 7}, {"order": 4}]


def test_a_transaction_that_python_begins_by_itself(app: Turnspit, send: Send, connection: sqlite3.Connection) -> None:
    """The job may be its first statement."""
    send.using(tx=connection).enqueue(1)
    assert connection.in_transaction
    connection.rollback()
    with connection:
        send.using(tx=connection).enqueue(2)
    assert app.jobs.count() == 1


@pytest.mark.parametrize("row_factory", [sqlite3.Row, lambda cursor, row: {"row": row}])
def test_a_connection_that_makes_rows_of_its_own(
    app: Turnspit, send: Send, connection: sqlite3.Connection, row_factory: Any
) -> None:
    connection.row_factory = row_factory
    with connection:
        assert send.using(tx=connection).enqueue(1).id == 1
    assert app.jobs.count() == 1
    assert connection.row_factory is row_factory


def test_autocommit_is_no_transaction(app: Turnspit, send: Send, path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    with pytest.raises(InvalidTransaction, match=r'autocommit mode with no open transaction: run .*"BEGIN"'):
        send.using(tx=connection).enqueue(1)
    connection.execute("BEGIN")
    send.using(tx=connection).enqueue(1)
    connection.execute("ROLLBACK")
    assert app.jobs.count() == 0
    connection.close()


@pytest.mark.parametrize("is_async", [False, True])
def test_sqlalchemys_autocommit_is_no_transaction(app: Turnspit, send: Send, path: Path, is_async: bool) -> None:
    async def aenqueue() -> None:
        database = create_async_engine(f"sqlite+aiosqlite:///{path}", isolation_level="AUTOCOMMIT", poolclass=NullPool)
        try:
            async with database.connect() as tx:
                await send.using(tx=tx).aenqueue(1)
        finally:
            await database.dispose()

    def enqueue() -> None:
        with create_engine(f"sqlite:///{path}", isolation_level="AUTOCOMMIT", poolclass=NullPool).connect() as tx:
            send.using(tx=tx).enqueue(1)

    app.migrate()
    with pytest.raises(InvalidTransaction, match=r"Connection in autocommit mode, .* use one without AUTOCOMMIT"):
        asyncio.run(aenqueue()) if is_async else enqueue()
    assert app.jobs.count() == 0


def test_a_savepoint_that_is_rolled_back_takes_its_jobs_with_it(
    app: Turnspit, send: Send, connection: sqlite3.Connection
) -> None:
    connection.execute(INSERT)
    send.using(tx=connection).enqueue(1)
    connection.execute("SAVEPOINT mine")
    send.using(tx=connection).enqueue(2)
    connection.execute("ROLLBACK TO mine")
    send.using(tx=connection).enqueue(3)
    connection.commit()
    assert [job.args["order"] for job in app.jobs.list()] == [3, 1]


@pytest.mark.parametrize("commits", [True, False])
@pytest.mark.parametrize("kind", ["session", "connection", "scoped"])
def test_with_your_transaction_of_sqlalchemy(
    app: Turnspit, send: Send, connection: sqlite3.Connection, database: Any, kind: str, commits: bool
) -> None:
    scoped = scoped_session(sessionmaker(database))
    tx: Any = {"session": lambda: Session(database), "connection": database.connect, "scoped": lambda: scoped}[kind]()
    tx.execute(text(INSERT))
    send.using(tx=tx).enqueue(7)
    app.enqueue_many([send.new(1), send.new(2)], tx=tx)
    assert app.jobs.count() == 0
    tx.commit() if commits else tx.rollback()
    tx.close()
    assert orders_and_jobs(app, connection) == ((1, 3) if commits else (0, 0))


@pytest.mark.parametrize("commits", [True, False])
@pytest.mark.parametrize("kind", ["session", "connection", "scoped"])
def test_with_your_transaction_of_async_sqlalchemy(
    app: Turnspit, send: Send, connection: sqlite3.Connection, path: Path, kind: str, commits: bool
) -> None:
    async def main() -> None:
        database = create_async_engine(f"sqlite+aiosqlite:///{path}", poolclass=NullPool)
        _begin_as_documented(database.sync_engine)
        scoped = async_scoped_session(async_sessionmaker(database), scopefunc=asyncio.current_task)
        tx: Any = {"session": AsyncSession(database), "connection": database.connect(), "scoped": scoped}[kind]
        if isinstance(tx, AsyncConnection):
            await tx.start()
        await tx.execute(text(INSERT))
        await send.using(tx=tx).aenqueue(7)
        await app.aenqueue_many([send.new(1), send.new(2)], tx=tx)
        await (tx.commit() if commits else tx.rollback())
        await tx.close()
        await database.dispose()

    asyncio.run(main())
    assert orders_and_jobs(app, connection) == ((1, 3) if commits else (0, 0))


@pytest.mark.parametrize("kind", ["open", "begun by the call", "session"])
def test_a_call_that_fails_leaves_nothing_in_a_transaction_that_commits(
    app: Turnspit, send: Send, connection: sqlite3.Connection, database: Any, kind: str
) -> None:
    """SQLite undoes the one statement that failed: what the call had stored before it would be committed."""

    @app.task(unique=Unique())
    def invoice(order: int) -> None: ...

    app.migrate()
    refuse = "BEFORE INSERT ON turnspit_{} BEGIN SELECT raise(ABORT, 'refused'); END"
    connection.execute(f"CREATE TRIGGER jobs {refuse.format('jobs WHEN new.priority = 5')}")
    connection.execute(f"CREATE TRIGGER attempts {refuse.format('history')}")
    kept = send.enqueue(0)
    tx: Any = Session(database) if kind == "session" else connection
    if kind != "begun by the call":
        tx.execute(text(INSERT) if kind == "session" else INSERT)
    with pytest.raises(EngineError, match="refused"):
        app.enqueue_many([send.using(priority=number).new(number) for number in range(3, 8)], tx=tx)
    with pytest.raises(EngineError, match="refused"):
        app.enqueue_many([invoice.new(1), invoice.using(priority=5).new(2)], tx=tx)
    with pytest.raises(EngineError, match="refused"):
        app.jobs.cancel(kept.id, tx=tx)
    stored = invoice.using(tx=tx).enqueue(1)
    tx.commit()
    tx.close() if kind == "session" else None
    assert {job.id: job.state for job in app.jobs.list()} == {kept.id: "ready", stored.id: "ready"}
    assert orders_and_jobs(app, connection)[0] == (0 if kind == "begun by the call" else 1)


def test_a_nested_transaction_that_fails_takes_its_jobs_with_it(app: Turnspit, send: Send, database: Any) -> None:
    with Session(database) as session, session.begin():
        send.using(tx=session).enqueue(1)
        savepoint = session.begin_nested()
        send.using(tx=session).enqueue(2)
        savepoint.rollback()
        with session.begin_nested():
            send.using(tx=session).enqueue(3)
    assert [job.args["order"] for job in app.jobs.list()] == [3, 1]


def test_a_first_use_of_the_store_inside_a_transaction(folder: Path) -> None:
    """The schema comes with it, and goes with it."""
    database = create_engine(f"sqlite:///{folder}/new.db", poolclass=NullPool)
    app = Turnspit(f"sqlite:///{folder}/new.db")

    @app.task
    def send(order: int) -> int:
        return order

    for commits in (False, True):
        with Session(database) as session:
            session.execute(text("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY)"))
            session.execute(text(INSERT))
            send.using(tx=session).enqueue(7)
            session.commit() if commits else session.rollback()
    with app.worker():
        [job] = app.jobs.list()
        assert job.get_result(timeout=10) == 7
    app.close()
    database.dispose()


def test_what_is_refused_says_what_to_do(app: Turnspit, send: Send, database: Any, path: Path, folder: Path) -> None:
    other = sqlite3.connect(folder / "other.db")
    memory = sqlite3.connect(":memory:")
    refused: list[tuple[Any, str]] = [
        (other, rf"is a transaction of .*other.db, but the jobs of this app are in {path}"),
        (memory, r"is a transaction of a database in memory"),
        (
            AsyncSession(),
            r"^the sqlalchemy AsyncSession is for async code: use the verb with an a in front",
        ),
        ("nonsense", r"takes a sqlite3, aiosqlite, SQLAlchemy or Django connection or a SQLAlchemy session, not str"),
        (database, r"takes a SQLAlchemy Session or Connection, not Engine"),
    ]
    for tx, message in refused:
        with pytest.raises(InvalidTransaction, match=message):
            send.using(tx=tx).enqueue(1)
    for tx in (other, Session(database)):
        with pytest.raises(InvalidTransaction, match=r"is not async: use the verb without an a in front"):
            asyncio.run(send.using(tx=tx).aenqueue(1))
    with pytest.raises(ConfigurationError, match=r"new\(\) stores nothing"):
        send.using(tx=other).new(1)
    assert app.jobs.count() == 0
    other.close()
    memory.close()


def test_what_fails_in_a_session_is_told_as_what_fails_elsewhere(
    app: Turnspit, send: Send, database: Any, connection: sqlite3.Connection, path: Path
) -> None:
    """SQLAlchemy wraps the driver's errors into its own."""
    app.migrate()
    impatient = create_engine(f"sqlite:///{path}", connect_args={"timeout": 0}, poolclass=NullPool)
    connection.execute("BEGIN IMMEDIATE")
    with Session(impatient) as session, pytest.raises(EngineUnavailable, match="is locked by another connection"):
        send.using(tx=session).enqueue(1)
    connection.execute("ROLLBACK")
    with Session(database) as session:
        session.connection().invalidate()
        with pytest.raises(InvalidTransaction, match="a statement has failed already"):
            send.using(tx=session).enqueue(1)
    app.engine.write(app.engine.freeze_store, "token", "elsewhere", False, "is frozen")
    for tx in (connection, Session(database)):
        with pytest.raises(StoreFrozen, match="is frozen"):
            send.using(tx=tx).enqueue(1)
        tx.rollback()  # type: ignore[attr-defined]


def test_a_statement_of_yours_that_has_not_been_read_to_its_end(
    app: Turnspit, send: Send, connection: sqlite3.Connection
) -> None:
    """As where rows move from a table of one's own, while they are read."""
    connection.executemany(INSERT, [()] * 3)
    rows = connection.execute("DELETE FROM orders RETURNING 1")
    with pytest.raises(InvalidTransaction, match=r"has rows left, .* read them all first"):
        app.enqueue_many((send.new(order) for (order,) in rows), tx=connection, chunk=2)
    assert rows.fetchall() == [(1,)]
    app.enqueue_many([send.new(order) for order in range(3)], tx=connection)
    connection.commit()
    assert orders_and_jobs(app, connection) == (0, 3)


def test_a_connection_that_cannot_be_used(app: Turnspit, send: Send, database: Any, path: Path) -> None:
    closed, elsewhere = database.connect(), sqlite3.connect(path)
    closed.close()
    with pytest.raises(InvalidTransaction, match="a connection that is closed"):
        send.using(tx=closed).enqueue(1)
    with ThreadPoolExecutor(1) as thread, pytest.raises(InvalidTransaction, match="created in a thread can only be"):
        thread.submit(send.using(tx=elsewhere).enqueue, 1).result()
    elsewhere.close()
    with pytest.raises(InvalidTransaction, match="cannot be used here: Cannot operate on a closed database"):
        send.using(tx=elsewhere).enqueue(1)


@pytest.mark.parametrize("nested", [False, True])
def test_a_sessions_commit_wakes_a_waiting_worker_at_once(
    app: Turnspit, send: Send, database: Any, nested: bool
) -> None:
    """Not at the end of a savepoint, when there is nothing to see yet, and not after a rollback."""
    heard: list[str] = []
    started = threading.Event()
    with app.worker(), Session(database) as session:
        send.enqueue(0).get_result(timeout=10)
        app.on("started")(lambda _: started.set())
        sent = app.engine.wakeups.send

        def spy(wakes: Any) -> None:
            heard.extend(wake.kind for wake in wakes)
            sent(wakes)

        app.engine.wakeups.send = spy  # type: ignore[method-assign]
        send.using(tx=session).enqueue(1)
        session.rollback()
        session.execute(text(INSERT))
        if nested:
            with session.begin_nested():
                send.using(tx=session).enqueue(2)
        else:
            send.using(tx=session).enqueue(2)
        assert heard == []
        session.commit()
        assert heard == ["ready"]
        assert started.wait(10)
        app.engine.wakeups.send = sent  # type: ignore[method-assign]


def test_a_bare_connections_commit_is_noticed_soon(app: Turnspit, send: Send, connection: sqlite3.Connection) -> None:
    """``sqlite3`` does not tell of a commit: the worker sees the file change, well before its poll of a second."""
    with app.worker():
        send.enqueue(0).get_result(timeout=10)
        with connection:
            job = send.using(tx=connection).enqueue(1)
        assert job.get_result(timeout=10) == 1


def test_a_rollback_leaves_no_trace_of_unique_keys(app: Turnspit, connection: sqlite3.Connection) -> None:
    @app.task(unique=Unique(within=60))
    def invoice(order: int) -> None: ...

    first = invoice.using(tx=connection).enqueue(7)
    assert invoice.using(tx=connection).enqueue(7).id == first.id, "found inside the same transaction"
    connection.rollback()
    with connection:
        assert invoice.using(tx=connection).enqueue(7).created


@pytest.mark.parametrize("commit", [True, False])
def test_cancel_joins_a_transaction(app: Turnspit, send: Send, connection: sqlite3.Connection, commit: bool) -> None:
    job = send.enqueue(1)
    connection.execute("BEGIN IMMEDIATE")
    assert app.jobs.cancel(job.id, tx=connection) == 1
    assert job.refresh().state == "ready"
    connection.commit() if commit else connection.rollback()
    assert job.refresh().state == ("cancelled" if commit else "ready")
