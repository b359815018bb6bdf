"""Transactions of the caller that keep a snapshot, and databases where that is the default."""

from typing import Any

import psycopg
import pytest

from turnspit import Turnspit
from turnspit.contract.verbs import Statement, Verb
from turnspit.engines import open_engine
from turnspit.errors import EngineError

LEVELS = [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE]


@pytest.fixture(params=LEVELS, ids=lambda level: level.name)
def snapshot(request: pytest.FixtureRequest, plain_url: str) -> Any:
    """A transaction of the application's that has looked at the database."""
    with psycopg.connect(plain_url) as connection:
        connection.isolation_level = request.param
        connection.execute("SELECT 1")
        yield connection
        connection.rollback()


def prune(app: Turnspit) -> None:
    app.engine.write(app.engine.prune_keys, 100)


def test_an_old_snapshot_stores_no_second_workflow(app: Turnspit, send: Any, snapshot: psycopg.Connection[Any]) -> None:
    with app.workflow("fulfil", idempotency_key="order 7") as flow:
        flow.add(send.new(7))
    prune(app)
    with (
        pytest.raises(EngineError, match="could not serialize access"),
        app.workflow("fulfil", idempotency_key="order 7", tx=snapshot) as second,
    ):
        second.add(send.new(7))
    snapshot.rollback()
    with app.workflow("fulfil", idempotency_key="order 7", tx=snapshot) as again:
        again.add(send.new(7))
    snapshot.commit()
    assert (again.created, again.id) == (False, flow.id)


def test_an_old_snapshot_stores_no_second_job(app: Turnspit, send: Any, snapshot: psycopg.Connection[Any]) -> None:
    job = send.using(idempotency_key="order 7").enqueue(7)
    prune(app)
    with pytest.raises(EngineError, match="could not serialize access"):
        send.using(idempotency_key="order 7", tx=snapshot).enqueue(7)
    snapshot.rollback()
    assert send.using(idempotency_key="order 7", tx=snapshot).enqueue(7).id == job.id


@pytest.mark.parametrize("poll_only", [False, True])
def test_turnspits_own_transactions_see_what_others_committed(store_url: str, poll_only: bool) -> None:
    """Whatever the default of the database or the role is: after waiting for a lock, they look again."""
    engine = open_engine(store_url + r"&options=-c%20default_transaction_isolation%3Dserializable", poll_only=poll_only)

    def levels() -> Verb[list[str]]:
        first = yield Statement("SHOW transaction_isolation", {})
        return [level for (level,) in first + (yield Statement("SHOW transaction_isolation", {}))]

    assert engine.write(levels) == ["read committed"] * 2
    engine.close()
