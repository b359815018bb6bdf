"""What ``turnspit doctor`` sees in a PostgreSQL server."""

from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from tests.postgres import Server, new_schema, server_url
from turnspit import Turnspit
from turnspit.clock import utc_now
from turnspit.engines.postgres import doctor

WELL = [
    "version",
    "role",
    "durability",
    "clock",
    "connections",
    "transactions",
    "schema",
    "privileges",
    "tables",
    "indexes",
    "waking",
]


@pytest.fixture
def url() -> Iterator[str]:
    with new_schema(18) as url, Turnspit(url) as app:
        app.engine.prepare()
        yield url


def look(url: str) -> dict[str, tuple[bool, str]]:
    with Turnspit(url) as app:
        return {subject: (ok, detail) for subject, ok, detail in app.engine.diagnose()}


def test_a_server_that_is_well(url: str) -> None:
    found = look(url)
    assert list(found) == WELL
    assert found["clock"] == (True, "this machine's clock goes as the server's")
    assert found["waking"][1].endswith("; a notification arrives")
    assert found["tables"][1].endswith("with their indexes; vacuum keeps up")
    assert found["indexes"] == (True, "none is much larger than its entries")
    assert look(f"{url}&poll_only=true")["waking"] == (True, "poll_only: workers look once a second")


@pytest.mark.parametrize(
    ("grant", "expected"),
    [
        (
            "SELECT, DELETE",
            "{guest} lacks INSERT, UPDATE on alerts, attempts, counters and ",
        ),
        (
            "SELECT, INSERT, UPDATE, DELETE",
            (
                "{guest} may not make and drop the partitions of {schema}.history: workers that connect as {guest} "
                "prune nothing, and the tables grow; their owner is the superuser postgres: give them to a role of "
                "their own, and make {guest} a member of it"
            ),
        ),
    ],
    ids=["reads", "writes"],
)
def test_privileges_that_a_worker_lacks(url: str, grant: str, expected: str) -> None:
    with Turnspit(url) as app:
        schema = app.engine.settings.schema  # type: ignore[attr-defined]
    guest = f"guest_{schema}"
    with psycopg.connect(server_url(url), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {guest} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {guest}")
        connection.execute(f"GRANT {grant} ON ALL TABLES IN SCHEMA {schema} TO {guest}")
        try:
            is_well, said = look(url.replace("postgres@", f"{guest}@"))["privileges"]
            assert not is_well
            assert said.startswith(expected.format(guest=guest, schema=schema))
            connection.execute(f"GRANT postgres TO {guest}")
            assert look(url.replace("postgres@", f"{guest}@"))["privileges"][0]
        finally:
            connection.execute(f"DROP OWNED BY {guest}; DROP ROLE {guest}")


def test_a_schema_that_lacks_its_tables_is_not_well(url: str) -> None:
    with Turnspit(url) as app, psycopg.connect(server_url(url), autocommit=True) as connection:
        schema = app.engine.settings.schema  # type: ignore[attr-defined]
        connection.execute(f"DROP TABLE {schema}.history CASCADE")
    said = f"there is no table {schema}.history: the schema is not whole; restore it from a backup"
    assert look(url)["privileges"] == (False, said)


@pytest.mark.parametrize(("hours", "side"), [(1, "ahead of"), (-1, "behind")])
def test_a_clock_that_goes_otherwise(url: str, monkeypatch: pytest.MonkeyPatch, hours: int, side: str) -> None:
    monkeypatch.setattr(doctor, "utc_now", lambda: utc_now() + timedelta(hours=hours))
    is_well, said = look(url)["clock"]
    assert not is_well
    assert said.startswith(f"this machine's clock is 3600 s {side} the server's: have both follow a time server")


@pytest.mark.parametrize("begin", ["SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT txid_current()"])
def test_a_transaction_that_holds_back_vacuum(url: str, monkeypatch: pytest.MonkeyPatch, begin: str) -> None:
    """With a snapshot; or one that wrote and idles, which has none between its statements."""
    with psycopg.connect(server_url(url), application_name="report") as connection:
        connection.execute(begin)
        connection.execute("SELECT 1")
        pid = connection.info.backend_pid
        monkeypatch.setattr(doctor, "_LONG", -1)
        is_well, said = look(url)["transactions"]
    assert not is_well
    assert f" s old: pid {pid} (report)" in said
    assert (
        "it keeps dead rows from being removed, and claims get slower; end it with SELECT pg_terminate_backend(" in said
    )


def test_dead_rows_and_bloated_indexes(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = url.rpartition("schema=")[2]
    with psycopg.connect(server_url(url), autocommit=True) as connection:
        connection.execute(f"ALTER TABLE {schema}.logs SET (autovacuum_enabled = false)")
        connection.execute(
            f"INSERT INTO {schema}.logs (job, attempt, at, level, message) SELECT 1, 1, 1, 'info', '' "
            "FROM generate_series(1, 200)"
        )
        connection.execute(f"DELETE FROM {schema}.logs")
        connection.execute("SELECT pg_stat_force_next_flush()")
    monkeypatch.setattr(doctor, "_MANY_DEAD", 100)
    monkeypatch.setattr(doctor, "_LARGE", 0)
    monkeypatch.setattr(doctor, "_ENTRY", 0)
    found = look(url)
    assert not found["tables"][0]
    assert found["tables"][1].startswith(f"{schema}.logs has 200 dead rows beside 0 live ones in ")
    assert found["tables"][1].endswith(f"never vacuumed yet: see what holds a snapshot, then VACUUM {schema}.logs")
    assert not found["indexes"][0]
    assert ": REINDEX INDEX CONCURRENTLY " in found["indexes"][1]


def test_what_a_server_was_told_not_to_do() -> None:
    server = Server(18, "fsync=off", "autovacuum=off", "max_prepared_transactions=1")
    try:
        url = f"{server.url}?schema=doctor"
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE held (a int)")
            connection.execute("PREPARE TRANSACTION 'forgotten'")
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(doctor, "_LONG", -1)
            found = look(url)
        assert not found["durability"][0]
        assert found["tables"][1].startswith("autovacuum is off")
        assert ": prepared transaction forgotten" in found["transactions"][1]
        assert found["transactions"][1].endswith("ROLLBACK PREPARED 'forgotten', or commit it")
    finally:
        server.remove()
