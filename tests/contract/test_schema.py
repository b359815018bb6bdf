"""How a store gets its tables."""

import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.store import Store
from turnspit.contract import Engine
from turnspit.contract.verbs import Statement, Verb
from turnspit.engines import open_engine
from turnspit.engines.migrations import Migration
from turnspit.errors import EngineError, SchemaMismatch
from turnspit.records import NewJob

pytestmark = pytest.mark.unprepared

NEW = NewJob("send", "default", "{}")


def test_nothing_is_made_before_the_first_use(engine: Engine, folder: Path) -> None:
    status = engine.schema_status()
    assert (status.current, bool(status.pending)) == (0, True)
    assert status.newest >= 1
    assert list(folder.iterdir()) == []


def test_the_first_use_brings_the_schema_up_to_date(store: Store) -> None:
    store.insert()
    status = store.engine.schema_status()
    assert (status.current, status.pending) == (status.newest, ())


def test_migrating_says_what_it_did_once(engine: Engine) -> None:
    pending = engine.schema_status().pending
    assert engine.migrate() == pending
    assert engine.migrate() == ()
    assert engine.write(engine.insert_job, NEW).id == 1


def test_migrating_keeps_what_is_there(store: Store) -> None:
    jobs = store.insert_many(3)
    store.engine.close()
    assert store.engine.migrate() == ()
    assert store.ids() == jobs[::-1]


def test_many_migrate_at_once_and_one_does_it(url: str) -> None:
    engines = [open_engine(url) for _ in range(12)]
    pending = engines[0].schema_status().pending
    with ThreadPoolExecutor(len(engines)) as threads:
        applied = list(threads.map(lambda engine: engine.migrate(), engines))
    assert sorted(applied) == [()] * 11 + [pending]


def test_a_table_that_was_dropped_is_named_with_the_cure(engine: Engine) -> None:
    """The version says that nothing is to be migrated: that would be no cure."""
    engine.migrate()
    engine.read(engine.list_pauses)
    [table] = re.findall(r"^CREATE TABLE (\S*pauses) ", engine.schema_sql(), re.MULTILINE)

    def drop() -> Verb[None]:
        yield Statement(f"DROP TABLE {table}", {})

    engine.write(drop)
    with pytest.raises(
        EngineError, match=r"lacks a table that was there before: somebody dropped it; restore a backup"
    ):
        engine.read(engine.list_pauses)
    engine.close()
    status = engine.schema_status()
    assert (status.missing, status.pending) == ((table,), ())
    for use in (engine.migrate, lambda: engine.read(engine.list_queues)):
        with pytest.raises(SchemaMismatch) as raised:
            use()
        stands = f"store {engine.location} has schema {status.current}, but without {table}, which somebody dropped: "
        cure = "restore a backup, for `turnspit migrate` makes no table a second time"
        assert str(raised.value) == stands + cure


def test_looking_at_the_status_makes_nothing(engine: Engine, folder: Path) -> None:
    engine.schema_status()
    assert not any(folder.iterdir())


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
class TestOnSqlite:
    """What the file itself must say."""

    def test_the_printed_script_makes_the_same_schema(self, engine: Engine, folder: Path) -> None:
        engine.migrate()
        with sqlite3.connect(folder / "printed.db") as printed, sqlite3.connect(folder / "jobs.db") as made:
            printed.executescript(engine.schema_sql())
            query = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name"
            assert printed.execute(query).fetchall() == made.execute(query).fetchall()
        printed.close()
        made.close()

    def test_a_printed_schema_is_accepted_as_it_is(self, engine: Engine, folder: Path) -> None:
        with sqlite3.connect(folder / "jobs.db") as connection:
            connection.executescript(engine.schema_sql())
        connection.close()
        assert engine.migrate() == ()
        assert engine.write(engine.insert_job, NEW).id == 1

    def test_tables_of_the_application_are_left_alone(self, engine: Engine, folder: Path) -> None:
        with sqlite3.connect(folder / "jobs.db") as connection:
            connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
            connection.execute("INSERT INTO orders VALUES (7)")
        engine.migrate()
        assert connection.execute("SELECT id FROM orders").fetchall() == [(7,)]
        connection.close()

    def test_a_newer_schema_is_refused_with_the_cure(self, engine: Engine, folder: Path) -> None:
        engine.migrate()
        with sqlite3.connect(folder / "jobs.db") as connection:
            connection.execute("INSERT INTO turnspit_schema VALUES (999, '0999_of_tomorrow', 999, '')")
        connection.close()
        with pytest.raises(SchemaMismatch, match=r"has schema 999, but this Turnspit knows \d+: upgrade turnspit"):
            engine.write(engine.insert_job, NEW)
        assert engine.schema_status().current == 999

    def test_a_migration_that_fails_leaves_nothing_half_done(
        self, engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from turnspit.engines.sqlite import schema

        known = schema.migrations()
        script = "CREATE TABLE half (id);\nCREATE TABLE half (id);\n"
        broken = Migration(known[-1].number + 1, "9998_broken", 1, script)
        monkeypatch.setattr(schema, "migrations", lambda: [*known, broken])
        with pytest.raises(Exception, match="half already exists"):
            engine.migrate()
        monkeypatch.undo()
        assert engine.schema_status().current == 0
        assert len(engine.migrate()) == len(known)
