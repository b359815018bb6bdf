"""``tx=`` with a bare connection of ``aiosqlite``, which lives on a thread of its own."""

import asyncio
import sqlite3
from pathlib import Path

import aiosqlite
import pytest

from turnspit import Turnspit
from turnspit.errors import InvalidTransaction
from turnspit.tasks import Task

pytestmark = pytest.mark.on_sqlite

Send = Task[[int], None]


@pytest.fixture
def send(app: Turnspit) -> Send:
    @app.task
    async def send(order: int) -> None: ...

    app.migrate()
    return send


@pytest.fixture
def path(app: Turnspit) -> Path:
    return Path(app.engine.location)


@pytest.mark.parametrize("commits", [True, False])
def test_jobs_exist_if_and_only_if_it_commits(app: Turnspit, send: Send, path: Path, commits: bool) -> None:
    async def main() -> list[tuple[int, ...]]:
        async with aiosqlite.connect(path) as tx:
            await tx.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
            await tx.execute("INSERT INTO orders DEFAULT VALUES")
            await send.using(tx=tx).aenqueue(7)
            await app.aenqueue_many([send.new(1), send.new(2)], tx=tx)
            assert await app.jobs.acount() == 0, "nobody else sees them before the commit"
            await (tx.commit() if commits else tx.rollback())
            return [tuple(row) for row in await tx.execute_fetchall("SELECT id FROM orders")]

    assert asyncio.run(main()) == ([(1,)] if commits else [])
    assert app.jobs.count() == (3 if commits else 0)


def test_a_call_that_waits_for_the_file_does_not_keep_the_event_loop_waiting(
    app: Turnspit, send: Send, path: Path
) -> None:
    async def main() -> None:
        async with aiosqlite.connect(path) as tx:
            call = asyncio.create_task(send.using(tx=tx).aenqueue(7))
            await asyncio.sleep(0)  # it is on its way to the thread of tx
            other.rollback()
            await call
            await tx.commit()

    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    asyncio.run(main())
    other.close()
    assert app.jobs.count() == 1


def test_what_is_refused_says_what_to_do(app: Turnspit, send: Send, path: Path, folder: Path) -> None:
    async def main() -> None:
        async with aiosqlite.connect(path) as tx, aiosqlite.connect(folder / "other.db") as other:
            with pytest.raises(InvalidTransaction, match="the aiosqlite Connection is for async code"):
                await asyncio.to_thread(send.using(tx=tx).enqueue, 1)
            with pytest.raises(InvalidTransaction, match=r"is a transaction of .*other.db, but the jobs of this app"):
                await send.using(tx=other).aenqueue(1)
        with pytest.raises(InvalidTransaction, match="tx= was given a connection that is closed"):
            await send.using(tx=tx).aenqueue(1)
        async with aiosqlite.connect(path, isolation_level=None) as tx:
            with pytest.raises(InvalidTransaction, match="autocommit mode with no open transaction"):
                await send.using(tx=tx).aenqueue(1)

    asyncio.run(main())
    assert app.jobs.count() == 0
