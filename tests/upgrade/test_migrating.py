"""Many processes at once, one that is killed in the middle, users who may not, apps that do not."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.postgres import new_database
from tests.upgrade.tomorrow import TODAY, tomorrow
from turnspit import Turnspit
from turnspit.engines import open_engine
from turnspit.errors import SchemaMismatch

pytestmark = pytest.mark.unprepared

PROCESSES = 20


def program(*words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.upgrade.programs", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_twenty_processes_that_begin_at_once_make_one_schema(store_url: str) -> None:
    started = [program("first_use", store_url) for _ in range(PROCESSES)]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [(process.communicate()[1], process.returncode) for process in started] == [("", 0)] * PROCESSES
    with Turnspit(store_url) as app:
        status = app.engine.schema_status()
        assert (status.current, status.pending) == (TODAY, ())
        assert app.jobs.count() == PROCESSES


@pytest.mark.parametrize("kill_point", ["0001_initial", f"{TODAY + 1:04}_colours"])
def test_killed_between_two_steps_the_next_one_completes_it(store_url: str, kill_point: str) -> None:
    killed = program("die_in_migration", store_url, kill_point)
    assert (killed.communicate()[1], killed.returncode) == ("", -signal.SIGKILL)
    with tomorrow():
        engine = open_engine(store_url)
        assert engine.schema_status().current == 0
        assert len(engine.migrate()) == TODAY + 1
        assert engine.schema_status().pending == ()
        engine.close()


def test_an_app_that_does_not_migrate_says_what_is_missing(store_url: str) -> None:
    with Turnspit(store_url, migrate=False) as app:

        @app.task
        def note() -> None: ...

        for call in (note.enqueue, app.worker().__enter__):
            with pytest.raises(SchemaMismatch, match="has no schema yet, and this app was told not to migrate"):
                call()
        assert app.migrate() != ()  # because somebody says so
        assert note.enqueue().id == 1


def test_an_app_that_does_not_migrate_finds_a_schema_too_old(store_url: str) -> None:
    open_engine(store_url).migrate()
    with tomorrow(), Turnspit(store_url, migrate=False) as app:
        with pytest.raises(SchemaMismatch) as caught:
            app.jobs.count()
        assert str(caught.value).endswith(
            f"has schema {TODAY}, but this Turnspit needs {TODAY + 1}, and this app was told not to migrate by itself: "
            "run `turnspit migrate` as a user who may change it, or have what "
            f"`turnspit migrate --sql --since {TODAY}` prints run there"
        )
        since = app.engine.schema_sql(TODAY)
        assert "colours" in since
        assert "0001_initial" not in since


@pytest.mark.on_sqlite
def test_inside_a_callers_transaction_it_does_not_migrate_either(folder: Path, store_url: str) -> None:
    import sqlite3

    app = Turnspit(store_url, migrate=False)

    @app.task
    def note() -> None: ...

    with sqlite3.connect(folder / "jobs.db") as connection:
        with pytest.raises(SchemaMismatch, match="has no schema yet"):
            note.using(tx=connection).enqueue()
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()
    app.close()


@pytest.fixture
def database() -> str:
    return new_database()


@pytest.fixture
def clerk(database: str) -> Iterator[str]:
    """The database, for a user who may use tables and not change them."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE ROLE clerk LOGIN")
        yield database.replace("postgres@", "clerk@")
        connection.execute("DROP OWNED BY clerk; DROP ROLE clerk")


def test_a_user_who_may_not_make_the_schema(clerk: str) -> None:
    with Turnspit(clerk) as app, pytest.raises(SchemaMismatch) as caught:
        app.migrate()
    assert "has no schema yet, and this user may not change it (permission denied for database" in str(caught.value)
    assert str(caught.value).endswith(
        "run `turnspit migrate` as a user who may change it, or have what `turnspit migrate --sql` prints run there"
    )


def test_a_user_who_may_not_change_the_schema(clerk: str, database: str) -> None:
    open_engine(database).migrate()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "GRANT USAGE ON SCHEMA turnspit TO clerk; "
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA turnspit TO clerk"
        )
    with Turnspit(clerk) as app:
        assert app.jobs.count() == 0
    with tomorrow(), Turnspit(clerk) as app, pytest.raises(SchemaMismatch) as caught:
        app.jobs.count()
    said = str(caught.value)
    assert f"has schema {TODAY}, but this Turnspit needs {TODAY + 1}, and this user may not change it" in said
    assert f"--sql --since {TODAY}" in said
