"""What ``turnspit doctor`` sees in a PostgreSQL server."""

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest

from tests.behaviour.support import DEADLINE, wait_until
from tests.postgres import Server, new_schema, server_url
from turnspit import Turnspit
from turnspit.clock import utc_now
from turnspit.engines.postgres import doctor, locks
from turnspit.errors import EngineUnavailable
from turnspit.records import NewJob, PruneRequest
from turnspit.web.models import Overview
from turnspit.web.reading.jobs import JobReader
from turnspit.web.reading.store import StoreReader
from turnspit.web.redaction import Redaction

WELL = [
    "version",
    "role",
    "durability",
    "clock",
    "connections",
    "transactions",
    "locks",
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


@contextmanager
def guest_of(url: str, grant: str) -> Iterator[tuple[str, str, psycopg.Connection]]:
    """A role with these privileges on the store's tables, the store's schema, and a superuser's connection."""
    with Turnspit(url) as app:
        schema = app.engine.settings.schema  # type: ignore[attr-defined]
    guest = f"guest_{schema}"
    with psycopg.connect(server_url(url), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {guest} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {guest}")
        connection.execute(f"GRANT {grant} ON ALL TABLES IN SCHEMA {schema} TO {guest}")
        try:
            yield guest, schema, connection
        finally:
            connection.execute(f"DROP OWNED BY {guest}; DROP ROLE {guest}")


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
    ("grant", "suffices", "expected"),
    [
        (
            "SELECT, DELETE",
            False,
            "{guest} lacks INSERT, UPDATE on alerts, attempts, counters and ",
        ),
        (
            "SELECT, INSERT, UPDATE, DELETE",
            True,
            (
                "{guest} may not make and drop the partitions of {schema}.history: workers that connect as {guest} "
                "prune it row by row, which costs more where many jobs end; their owner is the superuser postgres: "
                "give them to a role of their own, and make {guest} a member of it"
            ),
        ),
    ],
    ids=["reads", "writes"],
)
def test_privileges_that_a_worker_lacks(url: str, grant: str, suffices: bool, expected: str) -> None:
    with guest_of(url, grant) as (guest, schema, connection):
        is_well, said = look(url.replace("postgres@", f"{guest}@"))["privileges"]
        assert is_well is suffices
        assert said.startswith(expected.format(guest=guest, schema=schema))
        connection.execute(f"GRANT postgres TO {guest}")
        assert look(url.replace("postgres@", f"{guest}@"))["privileges"] == (
            True,
            f"{guest} may do all that a worker does",
        )


def test_a_user_who_may_make_no_tables_works_and_prunes(url: str) -> None:
    """As docs/guide/migrations.md grants it."""
    with guest_of(url, "SELECT, INSERT, UPDATE, DELETE") as (guest, schema, connection):
        with Turnspit(url.replace("postgres@", f"{guest}@")) as app:

            @app.task
            async def work() -> None: ...

            work.enqueue()
            with app.worker(until_empty=True) as worker:
                worker.wait()
            connection.execute(f"SELECT {schema}.make_partitions(0)")  # of 1970: one to drop
            assert app.engine.write(app.engine.prune_jobs, PruneRequest(history=0, dead=None)) == 1
        assert connection.execute(f"SELECT count(*) FROM {schema}.history").fetchone() == (0,)


def test_a_schema_that_lacks_its_tables_is_not_well(url: str) -> None:
    with Turnspit(url) as app, psycopg.connect(server_url(url), autocommit=True) as connection:
        schema = app.engine.settings.schema  # type: ignore[attr-defined]
        connection.execute(f"DROP TABLE {schema}.history CASCADE")
    said = f"there is no table {schema}.history: the schema is not whole; restore it from a backup"
    assert look(url)["privileges"] == (False, said)


def test_a_user_who_may_not_even_look_is_told_so(url: str) -> None:
    with guest_of(url, "SELECT") as (guest, schema, connection):
        connection.execute(f"REVOKE USAGE ON SCHEMA {schema} FROM {guest}")
        found = look(url.replace("postgres@", f"{guest}@"))
    assert "connection" not in found
    cure = "GRANT it the role that owns the tables, or USAGE on their schema and SELECT, INSERT, UPDATE, DELETE on all"
    said = f"{guest} may not look (permission denied for schema {schema}): {cure} tables in it"
    assert found["privileges"] == (False, said)


def test_a_url_that_leads_past_the_store_is_told_where_one_is(url: str) -> None:
    """Migrating there would make another one, in which all is well and no job waits."""
    schema = url.rpartition("schema=")[2]
    is_well, said = look(url.replace(schema, f"{schema}_misspelt"))["schema"]
    assert not is_well
    there = "there is no store here: was another one meant? If not, `turnspit migrate` makes it"
    assert re.fullmatch(rf"{re.escape(there)}; schema \S+( or \S+)* of this database has one", said)


def test_settings_of_a_role_that_change_what_is_read(url: str) -> None:
    with guest_of(url, "ALL") as (guest, _, connection):
        connection.execute(f"ALTER ROLE {guest} SET default_transaction_read_only = on")
        connection.execute(f"ALTER ROLE {guest} SET DateStyle = 'German'")
        found = look(url.replace("postgres@", f"{guest}@"))
    assert found["clock"][0]
    is_well, said = found["role"]
    assert not is_well
    assert said.startswith("read-only, because default_transaction_read_only is on: turn it off where it was set: ")


@pytest.mark.parametrize(("hours", "side"), [(1, "ahead of"), (-1, "behind")])
def test_a_clock_that_goes_otherwise(url: str, monkeypatch: pytest.MonkeyPatch, hours: int, side: str) -> None:
    monkeypatch.setattr(doctor, "utc_now", lambda: utc_now() + timedelta(hours=hours))
    is_well, said = look(url)["clock"]
    assert not is_well
    assert said.startswith(f"this machine's clock is 3600 s {side} the server's: have both follow a time server")


def is_oldest(url: str, pid: int) -> bool:
    """Whether every transaction that began before this one has ended, autovacuum's among them."""
    with psycopg.connect(server_url(url), autocommit=True) as connection:
        oldest = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() ORDER BY xact_start NULLS LAST LIMIT 1"
        )
        return oldest.fetchone() == (pid,)


@pytest.mark.parametrize("begin", ["SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT txid_current()"])
def test_a_transaction_that_holds_back_vacuum(url: str, monkeypatch: pytest.MonkeyPatch, begin: str) -> None:
    """With a snapshot; or one that wrote and idles, which has none between its statements. A worker's user sees it
    too, although not since when it is open.
    """
    with psycopg.connect(server_url(url), application_name="report") as connection:
        connection.execute(begin)
        connection.execute("SELECT 1")
        pid = connection.info.backend_pid
        with guest_of(url, "SELECT") as (guest, _, _):
            wait_until(lambda: is_oldest(url, pid), "the end of older transactions")
            seen = look(url.replace("postgres@", f"{guest}@"))["transactions"]
        monkeypatch.setattr(doctor, "_LONG", -1)
        is_well, said = look(url)["transactions"]
    assert re.fullmatch(rf"what .* is [\d,]+ transactions behind: pid {pid} \(report\)", seen[1])
    assert not is_well
    assert f" s old: pid {pid} (report)" in said
    assert (
        "it keeps dead rows from being removed, and claims get slower; end it with SELECT pg_terminate_backend(" in said
    )


def test_a_vacuum_holds_back_no_other(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        psycopg.connect(server_url(url), autocommit=True) as slow,
        psycopg.connect(server_url(url), autocommit=True) as connection,
        ThreadPoolExecutor() as threads,
    ):
        schema = re.search(r"schema=(\w+)", url)[1]  # type: ignore[index]
        slow.execute(f"CREATE TABLE {schema}.large AS SELECT repeat('x', 2000) FROM generate_series(1, 2000)")
        slow.execute("SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1")
        vacuum = threads.submit(slow.execute, f"VACUUM {schema}.large")
        pid = slow.info.backend_pid
        vacuums = "SELECT 1 FROM pg_stat_progress_vacuum WHERE pid = %s"
        try:
            wait_until(lambda: connection.execute(vacuums, [pid]).fetchone() is not None, "the vacuum's start")
            monkeypatch.setattr(doctor, "_LONG", -1)
            _, said = look(url)["transactions"]
        finally:
            connection.execute("SELECT pg_cancel_backend(%s)", [pid])
        with pytest.raises(psycopg.errors.QueryCanceled):
            vacuum.result(DEADLINE)
    assert f"pid {pid}" not in said


def test_a_transaction_that_keeps_a_table_locked_is_found_though_nobody_waits(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_SHORT", 0)
    with Turnspit(url) as app, psycopg.connect(server_url(url), application_name="report") as holder:
        schema = app.engine.settings.schema  # type: ignore[attr-defined]
        holder.execute(f"LOCK TABLE {schema}.jobs IN EXCLUSIVE MODE")
        pid = holder.info.backend_pid
        ok, said = look(url)["locks"]
        lock = asyncio.run(app.engine.afind_lock())
    assert not ok
    who = rf"pid {pid} \(report, idle in transaction, begun \d+ s ago\)"
    cure = rf"let that transaction end, or SELECT pg_terminate_backend\({pid}\)"
    assert re.fullmatch(rf"{who} keeps {schema}\.jobs locked: {cure}", said)
    assert lock is not None
    assert re.fullmatch(rf"{who} keeps {schema}\.jobs locked", lock.holder)
    assert re.fullmatch(cure, lock.cure)
    assert look(url)["locks"] == (True, "no transaction keeps others waiting")


def test_a_table_that_nobody_can_even_read_holds_nothing_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As while somebody's migration alters it."""
    monkeypatch.setattr(locks, "_SHORT", 0)
    monkeypatch.setattr(doctor, "_LOCK_PATIENCE", 0.1)
    with psycopg.connect(server_url(url), application_name="alembic") as holder:
        schema = url.rpartition("schema=")[2]
        holder.execute(f"LOCK TABLE {schema}.jobs, {schema}.migrations")
        found, pid = look(url), holder.info.backend_pid
    assert found["locks"][1].startswith(f"pid {pid} (alembic, ")
    for subject in ("schema", "tables"):
        said = "not looked at: another transaction kept a table locked for 0.1 s, see locks"
        assert found[subject] == (False, said)
    assert found["waking"][0]


def test_who_uses_most_connections_is_named_where_few_are_left(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_CROWDED", 0)
    with psycopg.connect(server_url(url), application_name="report"):
        is_well, said = look(url)["connections"]
    assert not is_well
    assert re.search(
        r"^\d+ of 200 in use \(.*1 by report.*\): free some, use a pooler, or raise max_connections$", said
    )


def test_the_overview_tells_of_a_lock_even_where_it_cannot_read_past_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_SHORT", 0)
    redaction = Redaction((), ())

    async def away(lock: object) -> Overview:
        raise EngineUnavailable("the store did not answer")

    with Turnspit(url) as app, psycopg.connect(server_url(url), application_name="report") as holder:
        schema = app.engine.settings.schema  # type: ignore[attr-defined]
        store = StoreReader(app, redaction, JobReader(app, redaction))
        assert asyncio.run(store.overview()).attention == []
        store.cache.forget()
        holder.execute(f"LOCK TABLE {schema}.jobs IN EXCLUSIVE MODE")
        named = f"pid {holder.info.backend_pid} (report, idle in transaction, begun 0 s ago) keeps {schema}.jobs locked"
        [found] = asyncio.run(store.overview()).attention
        assert found.title == f"A lock holds the store's work up: {named}"
        store.cache.forget()
        monkeypatch.setattr(store, "_look", away)
        with pytest.raises(EngineUnavailable, match=re.escape(f"the store did not answer. {named}: let ")):
            asyncio.run(store.overview())


def test_a_transaction_that_others_wait_for_is_found(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_SHORT", 0)
    monkeypatch.setattr(locks, "_PATIENCE", 0)
    with (
        Turnspit(url) as app,
        psycopg.connect(server_url(url)) as holder,
        psycopg.connect(server_url(url), options="-c lock_timeout=20s") as waiter,
        psycopg.connect(server_url(url), autocommit=True) as watcher,
        ThreadPoolExecutor() as threads,
    ):
        job = app.engine.write(app.engine.insert_job, NewJob("send", "default", "{}"))
        schema = app.engine.settings.schema  # type: ignore[attr-defined]
        row = f"SELECT FROM {schema}.jobs WHERE id = {job.id} FOR UPDATE"
        holder.execute(row)
        waiting = threads.submit(waiter.execute, row)
        waits = f"SELECT FROM pg_stat_activity WHERE pid = {waiter.info.backend_pid} AND wait_event_type = 'Lock'"
        wait_until(lambda: watcher.execute(waits).rowcount, "a session that waits")
        ok, said = look(url)["locks"]
        pid = holder.info.backend_pid
        holder.rollback()
        waiting.result(DEADLINE)
    assert not ok
    assert f"keeps rows of {schema} locked, and 1 session waits for it: " in said
    assert f"pg_terminate_backend({pid})" in said


@pytest.fixture
def mass_delete(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection]:
    """200 rows were deleted a moment ago, and autovacuum does not come to this table; a superuser's connection."""
    monkeypatch.setattr(doctor, "_MANY_DEAD", 100)
    schema = url.rpartition("schema=")[2]
    with psycopg.connect(server_url(url), autocommit=True) as connection:
        connection.execute(f"SET search_path = {schema}")
        connection.execute("ALTER TABLE logs SET (autovacuum_vacuum_threshold = 2000000000)")
        connection.execute(
            "INSERT INTO logs (job, attempt, at, level, message) SELECT 1, 1, 1, 'info', '' "
            "FROM generate_series(1, 200)"
        )
        connection.execute("SELECT pg_stat_force_next_flush()")
        with psycopg.connect(server_url(url)) as reader:
            reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            reader.execute("SELECT 1")
            connection.execute("DELETE FROM logs")
            connection.execute("SELECT pg_stat_force_next_flush()")
            yield connection


def dead_rows(url: str, subject: str) -> str:
    """What doctor says of them below a subject."""
    found = look(url)
    assert found["tables"][0] is (subject != "tables"), found["tables"]
    [said] = [detail for name, (_, detail) in found.items() if name == subject]
    start = f"{url.rpartition('schema=')[2]}.logs has 200 dead rows beside 0 live ones in "
    assert said.startswith(start)
    return said.partition(", ")[2].replace(url.rpartition("schema=")[2], "turnspit")


def test_dead_rows_of_a_moment_ago_are_no_fault(url: str, mass_delete: psycopg.Connection) -> None:
    comes = "autovacuum looks every 1min; if they are still there after five minutes, VACUUM turnspit.logs"
    assert dead_rows(url, "advice") == f"never vacuumed yet: {comes}"
    mass_delete.execute("VACUUM (ANALYZE) logs")
    assert re.fullmatch(
        r"vacuumed \d s ago: that vacuum left them to a transaction that was still open, and the next one removes them",
        dead_rows(url, "advice"),
    )


def test_dead_rows_that_will_stay_are_a_fault(
    url: str, mass_delete: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(doctor, "_LONG", -1)
        held = "never vacuumed yet: end what holds them back, see transactions; then autovacuum removes them"
        assert dead_rows(url, "tables") == held
    mass_delete.execute("ALTER TABLE logs SET (autovacuum_enabled = off)")
    off = "autovacuum is off for it; ALTER TABLE turnspit.logs RESET (autovacuum_enabled)"
    assert dead_rows(url, "tables") == f"never vacuumed yet: {off}"


def test_bloated_indexes(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LARGE", 0)
    monkeypatch.setattr(doctor, "_ENTRY", 0)
    is_well, said = look(url)["indexes"]
    assert not is_well
    assert ": REINDEX INDEX CONCURRENTLY " in said


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
