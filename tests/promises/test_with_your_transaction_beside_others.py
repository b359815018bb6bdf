"""2. A job enqueued in the caller's own transaction, while other connections write to the same file."""

import sqlite3

import pytest

from turnspit import Turnspit, Unique
from turnspit.errors import EngineUnavailable

pytestmark = pytest.mark.on_sqlite  # on PostgreSQL: tests/on_postgres/test_transactions.py

INSERT = "INSERT INTO orders DEFAULT VALUES"


def test_a_process_that_only_enqueues_waits_for_other_writers(app: Turnspit, connection: sqlite3.Connection) -> None:
    """It never opens the file itself. A transaction that had read before another one wrote could write no more."""
    app.close()

    @app.task(unique=Unique())
    def invoice(order: int) -> None: ...

    def write_elsewhere(statement: str) -> None:
        if statement.startswith("INSERT INTO turnspit_jobs"):
            other.execute(INSERT)

    other = sqlite3.connect(app.engine.location, isolation_level=None)
    connection.set_trace_callback(write_elsewhere)
    with connection:
        assert invoice.using(tx=connection).enqueue(7).created
    connection.execute("BEGIN")
    with pytest.raises(EngineUnavailable, match="begin yours with BEGIN IMMEDIATE"):
        invoice.using(tx=connection).enqueue(8)
    other.close()


def test_a_key_that_another_call_takes_after_it_was_looked_for(app: Turnspit, connection: sqlite3.Connection) -> None:
    """Python begins a transaction at its first write, which is after Turnspit has looked who holds the key."""
    taken: list[int] = []

    @app.task(unique=Unique())
    def invoice(order: int) -> None: ...

    def take_key(statement: str) -> None:
        if statement.startswith("INSERT INTO turnspit_jobs"):
            connection.set_trace_callback(None)
            taken.append(invoice.enqueue(7).id)

    connection.set_trace_callback(take_key)
    with connection:
        connection.execute("SELECT * FROM orders")
        job = invoice.using(tx=connection).enqueue(7)
    assert ([job.id], job.created) == (taken, False)
    assert app.jobs.count() == 1
