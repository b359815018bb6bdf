"""``select turnspit.enqueue(...)``: from psql, a trigger, any language."""

import asyncio
from typing import Any

import psycopg
import pytest

from tests.behaviour.support import DEADLINE
from turnspit import Concurrency, Turnspit, Unique


@pytest.fixture
def schema(app: Turnspit) -> str:
    return str(app.engine.settings.schema)  # type: ignore[attr-defined]


def test_a_job_from_sql_is_run(app: Turnspit, send: Any, connection: psycopg.Connection[Any], schema: str) -> None:
    with app.worker():
        [job] = connection.execute(f"""SELECT {schema}.enqueue('send', '{{"order_id": 7}}')""").fetchone() or []
        connection.commit()
        assert app.jobs.get(job).get_result(timeout=DEADLINE) == 7


def test_its_options(app: Turnspit, send: Any, connection: psycopg.Connection[Any], schema: str) -> None:
    [job] = (
        connection.execute(
            f"""SELECT {schema}.enqueue('send', '{{"order_id": 7}}', queue => 'mail', priority => 5,
            run_at => now() + interval '1 hour')"""
        ).fetchone()
        or []
    )
    connection.commit()
    found = app.jobs.get(job)
    assert (found.queue, found.priority, found.state, found.args) == ("mail", 5, "scheduled", {"order_id": 7})


def test_a_rollback_takes_it_back(app: Turnspit, send: Any, connection: psycopg.Connection[Any], schema: str) -> None:
    connection.execute(f"""SELECT {schema}.enqueue('send', '{{"order_id": 7}}')""")
    connection.rollback()
    assert app.jobs.count() == 0


def test_arguments_that_do_not_fit_harm_only_their_own_job(
    app: Turnspit, send: Any, connection: psycopg.Connection[Any], schema: str
) -> None:
    [wrong] = connection.execute(f"""SELECT {schema}.enqueue('send', '{{"order_id": "x"}}')""").fetchone() or []
    [right] = connection.execute(f"""SELECT {schema}.enqueue('send', '{{"order_id": 8}}')""").fetchone() or []
    connection.commit()
    with app.worker(until_empty=True) as worker:
        worker.wait()
    assert app.jobs.get(right).state == "completed"
    assert app.jobs.get(wrong).error_type == "InvalidPayload"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("enqueue('')", "1 to 255 characters"),
        ("enqueue(NULL)", "1 to 255 characters"),
        ("enqueue('send', '[1]')", "are one JSON object"),
        ("enqueue('send', NULL)", "are one JSON object"),
    ],
)
def test_what_cannot_be_a_job_is_refused(
    connection: psycopg.Connection[Any], schema: str, call: str, message: str
) -> None:
    with pytest.raises(psycopg.Error, match=message):
        connection.execute(f"SELECT {schema}.{call}")


def test_a_trigger_enqueues(app: Turnspit, send: Any, connection: psycopg.Connection[Any], schema: str) -> None:
    connection.execute(f"""
        CREATE TABLE {schema}.orders (id bigint PRIMARY KEY);
        CREATE FUNCTION {schema}.confirm() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM {schema}.enqueue('send', jsonb_build_object('order_id', NEW.id));
            RETURN NULL;
        END $$;
        CREATE TRIGGER confirm AFTER INSERT ON {schema}.orders FOR EACH ROW EXECUTE FUNCTION {schema}.confirm();
        INSERT INTO {schema}.orders VALUES (1), (2);
    """)
    connection.commit()
    assert sorted(job.args["order_id"] for job in app.jobs.list()) == [1, 2]


def test_a_unique_key_is_filled_in_by_the_worker(
    app: Turnspit, connection: psycopg.Connection[Any], schema: str
) -> None:
    @app.task(unique=Unique(key=["order_id"]))
    async def invoice(order_id: int, copy: bool = False) -> int:
        return order_id

    for number in (7, 7, 8):
        connection.execute(f"""SELECT {schema}.enqueue('invoice', '{{"order_id": {number}}}')""")
    connection.commit()
    with app.worker(until_empty=True) as worker:
        worker.wait()
    assert [(job.state, job.reason) for job in sorted(app.jobs.list(), key=lambda job: job.id)] == [
        ("completed", None),
        ("cancelled", "job 1 holds its unique key"),
        ("completed", None),
    ]


def test_a_unique_job_from_sql_also_waits_for_its_limit(
    app: Turnspit, connection: psycopg.Connection[Any], schema: str
) -> None:
    running = []

    @app.task(unique=Unique(key=["order_id"]), concurrency=Concurrency(1))
    async def invoice(order_id: int) -> int:
        running.append(order_id)
        await asyncio.sleep(0)
        return running.pop()

    for number in (7, 7, 8):
        connection.execute(f"""SELECT {schema}.enqueue('invoice', '{{"order_id": {number}}}')""")
    connection.commit()
    with app.worker(until_empty=True) as worker:
        worker.wait()
    assert app.jobs.count(state="completed") == 2
    assert app.jobs.count(state="cancelled") == 1
