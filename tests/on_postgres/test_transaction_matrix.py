"""Whatever library brings the transaction, a job follows it: commit, rollback, savepoints, batches, cancellations."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple

import asyncpg
import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tests.postgres import new_schema, server
from turnspit import Job, Turnspit

Script = Generator[Any, Any, None]


class Caller(NamedTuple):
    """A transaction and how its library nests, commits and rolls back. What these return is awaited if it can be."""

    tx: Any
    nest: Callable[[], Any]
    commit: Callable[[], Any]
    rollback: Callable[[], Any]


class Savepoint(NamedTuple):
    """A savepoint in plain SQL, for a library whose own are context managers."""

    execute: Callable[[str], Any]
    name: str

    def commit(self) -> Any:
        return self.execute(f"RELEASE {self.name}")

    def rollback(self) -> Any:
        return self.execute(f"ROLLBACK TO {self.name}")


@contextmanager
def of_psycopg(url: str) -> Iterator[Caller]:
    names = iter("abc")

    def nest() -> Savepoint:
        savepoint = Savepoint(connection.execute, next(names))
        connection.execute(f"SAVEPOINT {savepoint.name}")
        return savepoint

    with psycopg.connect(url) as connection:
        yield Caller(connection, nest, connection.commit, connection.rollback)


@contextmanager
def of_a_session(url: str) -> Iterator[Caller]:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with Session(engine) as session:
        yield Caller(session, session.begin_nested, session.commit, session.rollback)
    engine.dispose()


@contextmanager
def of_a_connection(url: str) -> Iterator[Caller]:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        yield Caller(connection, connection.begin_nested, connection.commit, connection.rollback)
    engine.dispose()


@asynccontextmanager
async def of_async_psycopg(url: str) -> AsyncIterator[Caller]:
    names = iter("abc")

    async def nest() -> Savepoint:
        savepoint = Savepoint(connection.execute, next(names))
        await connection.execute(f"SAVEPOINT {savepoint.name}")
        return savepoint

    async with await psycopg.AsyncConnection.connect(url) as connection:
        yield Caller(connection, nest, connection.commit, connection.rollback)


@asynccontextmanager
async def of_asyncpg(url: str) -> AsyncIterator[Caller]:
    async def nest() -> Any:
        transaction = connection.transaction()
        await transaction.start()
        return transaction

    connection = await asyncpg.connect(url)
    outer = await nest()
    yield Caller(connection, nest, outer.commit, outer.rollback)
    await connection.close()


@asynccontextmanager
async def of_an_async_session(url: str, driver: str) -> AsyncIterator[Caller]:
    engine = create_async_engine(url.replace("postgresql:", f"postgresql+{driver}:"))
    async with AsyncSession(engine) as session:
        yield Caller(session, session.begin_nested, session.commit, session.rollback)
    await engine.dispose()


@asynccontextmanager
async def of_an_async_connection(url: str, driver: str) -> AsyncIterator[Caller]:
    engine = create_async_engine(url.replace("postgresql:", f"postgresql+{driver}:"))
    async with engine.connect() as connection:
        yield Caller(connection, connection.begin_nested, connection.commit, connection.rollback)
    await engine.dispose()


SYNC = {"psycopg": of_psycopg, "session": of_a_session, "connection": of_a_connection}
ASYNC: dict[str, Callable[[str], Any]] = {
    "async psycopg": of_async_psycopg,
    "asyncpg": of_asyncpg,
    "async session, psycopg": lambda url: of_an_async_session(url, "psycopg"),
    "async session, asyncpg": lambda url: of_an_async_session(url, "asyncpg"),
    "async connection, psycopg": lambda url: of_an_async_connection(url, "psycopg"),
    "async connection, asyncpg": lambda url: of_an_async_connection(url, "asyncpg"),
}


class Verbs(NamedTuple):
    """What is done within the transaction, by the verbs that fit it."""

    enqueue: Callable[[int], Any]
    enqueue_many: Callable[..., Any]
    cancel: Callable[[], Any]
    """Of job 0, which was there before."""


def commit(caller: Caller, verbs: Verbs) -> Script:
    yield verbs.enqueue(1)
    yield caller.commit()


def rollback(caller: Caller, verbs: Verbs) -> Script:
    yield verbs.enqueue(1)
    yield caller.rollback()


def rollback_to_a_savepoint(caller: Caller, verbs: Verbs) -> Script:
    yield verbs.enqueue(1)
    savepoint = yield caller.nest()
    yield verbs.enqueue(2)
    yield savepoint.rollback()
    yield verbs.enqueue(3)
    yield caller.commit()


def nested(caller: Caller, verbs: Verbs) -> Script:
    outer = yield caller.nest()
    yield verbs.enqueue(1)
    inner = yield caller.nest()
    yield verbs.enqueue(2)
    yield inner.rollback()
    inner = yield caller.nest()
    yield verbs.enqueue(3)
    yield inner.commit()
    yield outer.commit()
    yield caller.commit()


def nested_in_what_is_rolled_back(caller: Caller, verbs: Verbs) -> Script:
    savepoint = yield caller.nest()
    yield verbs.enqueue(1)
    yield savepoint.commit()
    yield caller.rollback()


def enqueue_many(caller: Caller, verbs: Verbs) -> Script:
    yield verbs.enqueue_many(1, 2)
    savepoint = yield caller.nest()
    yield verbs.enqueue_many(3, 4)
    yield savepoint.rollback()
    yield caller.commit()


def enqueue_many_rolled_back(caller: Caller, verbs: Verbs) -> Script:
    yield verbs.enqueue_many(1, 2)
    yield caller.rollback()


def cancel(caller: Caller, verbs: Verbs) -> Script:
    yield verbs.cancel()
    yield caller.commit()


def cancel_rolled_back(caller: Caller, verbs: Verbs) -> Script:
    yield verbs.cancel()
    yield caller.rollback()


def cancel_in_a_savepoint_rolled_back(caller: Caller, verbs: Verbs) -> Script:
    savepoint = yield caller.nest()
    yield verbs.cancel()
    yield savepoint.rollback()
    yield verbs.enqueue(1)
    yield caller.commit()


SCRIPTS: list[tuple[Callable[[Caller, Verbs], Script], list[int]]] = [
    (commit, [0, 1]),
    (rollback, [0]),
    (rollback_to_a_savepoint, [0, 1, 3]),
    (nested, [0, 1, 3]),
    (nested_in_what_is_rolled_back, [0]),
    (enqueue_many, [0, 1, 2]),
    (enqueue_many_rolled_back, [0]),
    (cancel, []),
    (cancel_rolled_back, [0]),
    (cancel_in_a_savepoint_rolled_back, [0, 1]),
]
each_script = pytest.mark.parametrize(("script", "ready"), SCRIPTS, ids=[script.__name__ for script, _ in SCRIPTS])


class Orders(NamedTuple):
    app: Turnspit
    send: Any
    first: Job[Any]

    def ready(self) -> list[int]:
        return sorted(job.args["order_id"] for job in self.app.jobs.list(state="ready"))


@pytest.fixture
def orders() -> Iterator[Orders]:
    with new_schema(18) as url, Turnspit(url) as app:

        @app.task
        def send(order_id: int) -> None: ...

        yield Orders(app, send, send.enqueue(0))


@each_script
@pytest.mark.parametrize("library", SYNC)
def test_sync(orders: Orders, library: str, script: Callable[..., Script], ready: list[int]) -> None:
    app, send, first = orders
    with SYNC[library](server(18).url) as caller:
        tx = caller.tx
        verbs = Verbs(
            send.using(tx=tx).enqueue,
            lambda *numbers: app.enqueue_many([send.new(number) for number in numbers], tx=tx),
            lambda: app.jobs.cancel(first.id, tx=tx),
        )
        running = script(caller, verbs)
        result = next(running)
        while (result := _step(running, result)) is not running:
            pass
    assert orders.ready() == ready


@each_script
@pytest.mark.parametrize("library", ASYNC)
def test_async(orders: Orders, library: str, script: Callable[..., Script], ready: list[int]) -> None:
    app, send, first = orders

    async def main() -> None:
        async with ASYNC[library](server(18).url) as caller:
            tx = caller.tx
            verbs = Verbs(
                send.using(tx=tx).aenqueue,
                lambda *numbers: app.aenqueue_many([send.new(number) for number in numbers], tx=tx),
                lambda: app.jobs.acancel(first.id, tx=tx),
            )
            running = script(caller, verbs)
            result = next(running)
            while result is not running:
                result = _step(running, await result if inspect.isawaitable(result) else result)

    asyncio.run(main())
    assert orders.ready() == ready


def _step(running: Script, result: Any) -> Any:
    """The script's next step, given the result of the last; the script itself at its end."""
    try:
        return running.send(result)
    except StopIteration:
        return running
