"""The next test finds the schema of the last one as if it were new, or does not get it."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.postgres import new_database, with_schema
from tests.prepared_schemas import PreparedSchemas
from turnspit import Turnspit

TABLES = "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r' ORDER BY relname"


@pytest.fixture(scope="module")
def database() -> str:
    return new_database()


@pytest.fixture
def schemas(database: str) -> Iterator[PreparedSchemas]:
    schemas = PreparedSchemas(database)
    yield schemas
    schemas.close()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET client_min_messages = warning; DROP SCHEMA IF EXISTS one CASCADE")


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def test_what_a_test_wrote_is_gone(database: str, schemas: PreparedSchemas) -> None:
    prepared = schemas.take("one")
    with psycopg.connect(database) as connection:
        tables = connection.execute(TABLES, ["one"]).fetchall()
    for _ in range(2):
        with Turnspit(with_schema(database, "one")) as app:

            @app.task
            async def double(number: int) -> int:
                return number * 2

            assert app.jobs.count() == 0
            job = double.enqueue(2)
            assert job.id == 1
            app.run_worker(until_empty=True)
            assert job.get_result(0) == 4
            assert [worker.id for worker in app.workers.list()] == [1]
        with psycopg.connect(database) as connection:
            connection.execute("SELECT one.make_partitions(0)")
        schemas.give_back(prepared)
        assert schemas.take("other") is prepared
    with psycopg.connect(database) as connection:
        assert connection.execute(TABLES, ["one"]).fetchall() == tables
        for (table,) in tables:
            if table != "migrations":
                assert connection.execute(f"SELECT pg_relation_size('one.{table}')").fetchone() == (0,), table


@pytest.mark.parametrize(
    "change",
    [
        "DROP SCHEMA one CASCADE",
        "DROP TABLE one.pauses",
        "DROP INDEX one.history_id",
        "CREATE TABLE one.notes (note text)",
        "ALTER TABLE one.jobs ADD note text",
        "ALTER TABLE one.jobs SET (fillfactor = 50)",
        "GRANT SELECT ON one.jobs TO public",
        "DELETE FROM one.migrations",
        "CREATE OR REPLACE FUNCTION one.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TRIGGER refuse BEFORE INSERT ON one.jobs EXECUTE FUNCTION one.refuse_change()",
        "ALTER TABLE one.jobs ALTER id SET INCREMENT BY 2",
        "DO $$ BEGIN EXECUTE (SELECT 'DROP TABLE one.' || min(relname) FROM pg_class WHERE relname ~ 'y_2'); END $$",
    ],
)
def test_a_schema_that_its_test_changed_is_removed(
    schemas: PreparedSchemas, connection: psycopg.Connection, database: str, change: str
) -> None:
    prepared = schemas.take("one")
    connection.execute(change)
    connection.close()
    schemas.give_back(prepared)
    assert schemas.waiting == []
    with psycopg.connect(database) as other:
        assert other.execute("SELECT FROM pg_namespace WHERE nspname = 'one'").fetchall() == []


def test_nobody_gets_a_schema_to_which_another_may_still_write(
    schemas: PreparedSchemas, connection: psycopg.Connection
) -> None:
    prepared = schemas.take("one")
    connection.execute("SELECT")
    schemas.give_back(prepared)
    assert schemas.waiting == []
