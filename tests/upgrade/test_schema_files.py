"""The ``schema.sql`` that is checked in makes the catalogue that migrating makes; migrations keep their rules."""

import re
import sqlite3
from pathlib import Path

import psycopg
import pytest

from tests.postgres import VERSIONS, new_database
from turnspit.engines import migrations, open_engine
from turnspit.engines.postgres import schema as postgres
from turnspit.engines.sqlite import schema as sqlite

ENGINES = Path(migrations.__file__).parent

COLUMNS = """
SELECT table_name, column_name, ordinal_position, data_type, column_default, is_nullable, is_identity
FROM information_schema.columns WHERE table_schema = 'turnspit'"""
OTHERS = (
    "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'turnspit'",
    """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'turnspit'::regnamespace""",
    "SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'turnspit'::regnamespace",
    "SELECT relname, relkind::text, reloptions FROM pg_class WHERE relnamespace = 'turnspit'::regnamespace",
    """SELECT event_object_table, trigger_name, action_statement FROM information_schema.triggers
    WHERE trigger_schema = 'turnspit'""",
    "SELECT version, name, works_with FROM turnspit.migrations",
)


def test_of_a_file(folder: Path) -> None:
    engine = open_engine(f"sqlite:///{folder}/migrated.db")
    engine.migrate()
    engine.close()
    with sqlite3.connect(folder / "script.db") as script, sqlite3.connect(folder / "migrated.db") as migrated:
        script.executescript((ENGINES / "sqlite" / "schema.sql").read_text())
        for query in (
            "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name",
            "SELECT version, name, works_with FROM turnspit_schema",
        ):
            assert script.execute(query).fetchall() == migrated.execute(query).fetchall() != []
    script.close()
    migrated.close()


def test_the_readme_of_the_file_says_of_every_index_what_it_is_for() -> None:
    migrations_ = (ENGINES / "sqlite" / "migrations").glob("*.sql")
    made = {name for path in migrations_ for name in re.findall(r"INDEX turnspit_(\w+)", path.read_text())}
    table = (
        (ENGINES / "sqlite" / "README.md").read_text().partition("| index | for |\n|---|---|\n")[2].partition("\n\n")[0]
    )
    told = [name for row in table.splitlines() for name in re.findall(r"`(\w+)", row.split("|")[1])]
    assert sorted(told) == sorted(made)


@pytest.mark.parametrize("version", VERSIONS)
def test_of_a_database(version: int) -> None:
    scripted, migrated = new_database(version), new_database(version)
    engine = open_engine(migrated)
    engine.migrate()
    engine.close()
    with psycopg.connect(scripted, autocommit=True) as script, psycopg.connect(migrated) as made:
        script.execute((ENGINES / "postgres" / "schema.sql").read_text())
        for query in (COLUMNS, *OTHERS):
            ordered = f"SELECT * FROM ({query}) AS found ORDER BY found::text"
            assert script.execute(ordered).fetchall() == made.execute(ordered).fetchall()
            assert "triggers" in query or made.execute(ordered).fetchall()


@pytest.mark.parametrize("engine", [sqlite, postgres], ids=["sqlite", "postgres"])
def test_migrations_are_numbered_without_gaps_and_say_what_they_work_with(engine: object) -> None:
    known = engine.migrations()  # type: ignore[attr-defined]
    assert [migration.number for migration in known] == list(range(1, len(known) + 1))
    for migration in known:
        assert 1 <= migration.works_with <= migration.number


def test_a_migration_that_does_not_say_it_cannot_be_loaded() -> None:
    for sql in ("CREATE TABLE a (b);", "-- works-with: 3\n", "-- works-with: 0\n"):
        with pytest.raises(
            ValueError, match=r"0002_more\.sql begins with `-- works-with: N`: the oldest schema, from 1"
        ):
            migrations._read(2, "0002_more", sql)
