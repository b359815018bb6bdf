"""Who joins a framework's transaction and who does not."""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

from tests.behaviour.support import DEADLINE
from turnspit import Turnspit
from turnspit.testing import override


class Forbidden:
    """Transactions that nobody may ask for."""

    def current(self) -> NoReturn:
        raise AssertionError("it was asked")

    async def acall(self, function: Callable[[], Any]) -> NoReturn:
        raise AssertionError("it was asked")


def test_a_worker_asks_for_no_transaction(app: Turnspit) -> None:
    """What it stores about its jobs is its own, whatever context it was started in."""

    @app.task
    async def task() -> None: ...

    task.enqueue()
    ended = threading.Event()
    app.on("completed")(lambda _: ended.set())
    app.join(Forbidden())
    with app.worker():
        assert ended.wait(DEADLINE)
    app.join(None)
    assert app.jobs.count(state="completed") == 1


def test_neither_does_a_test_s_private_store(app: Turnspit) -> None:
    @app.task
    def task() -> int:
        return 7

    app.join(Forbidden())
    with override(app) as t:
        task.enqueue()
        [job] = t.drain()
        assert job.state == "completed"


class Open:
    """A transaction that whoever asks is in."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def current(self) -> sqlite3.Connection:
        return self.connection

    async def acall(self, function: Callable[[], Any]) -> Any:
        return function()


def test_a_store_in_the_test_s_own_database_is_joined(app: Turnspit, tmp_path: Path) -> None:
    """Else the transaction that holds the file's lock would wait for the job, and the job for it."""

    @app.task
    def task() -> None: ...

    file = tmp_path / "test.db"
    with override(app, url=f"sqlite:///{file}"), closing(sqlite3.connect(file)) as connection:
        app.migrate()
        connection.execute("CREATE TABLE orders (id)")
        connection.execute("INSERT INTO orders VALUES (7)")
        app.join(Open(connection))
        task.enqueue()
        assert app.jobs.count() == 1
        connection.rollback()
        app.join(None)
        assert app.jobs.count() == 0
