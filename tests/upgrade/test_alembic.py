"""Turnspit's tables in an application's own Alembic migrations."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

from tests.postgres import new_database
from tests.upgrade.tomorrow import TODAY, tomorrow
from turnspit import Turnspit
from turnspit.contrib.alembic import include_name

ENVIRONMENT = """
import asyncio
from alembic import context
from sqlalchemy import NullPool, create_engine
from sqlalchemy.ext.asyncio import create_async_engine

url = context.config.get_main_option("sqlalchemy.url")

def run(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

async def arun():
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(run)

if context.is_offline_mode():
    context.configure(url=url)
    with context.begin_transaction():
        context.run_migrations()
elif "asyncpg" in url:
    asyncio.run(arun())
else:
    with create_engine(url, poolclass=NullPool).connect() as connection:
        run(connection)
"""
REVISION = """
from alembic import op
import sqlalchemy as sa
from turnspit.contrib import alembic as turnspit_alembic

revision, down_revision = {number!r}, {before!r}

def upgrade():
    op.create_table("orders_{number}", sa.Column("id", sa.Integer, primary_key=True))
    turnspit_alembic.upgrade(op, since={since})

def downgrade():
    op.drop_table("orders_{number}")
"""
Alembic = Callable[..., str]


@pytest.fixture(params=["sqlite", "postgresql+psycopg", "postgresql+asyncpg"])
def database(request: pytest.FixtureRequest, folder: Path) -> str:
    """An application's database, as SQLAlchemy names it."""
    if request.param == "sqlite":
        return f"sqlite:///{folder}/shop.db"
    return new_database().replace("postgresql", request.param)


@pytest.fixture
def alembic(database: str, folder: Path) -> Alembic:
    """A project with two revisions; runs one of Alembic's commands, gives what it printed."""
    (folder / "migrations" / "versions").mkdir(parents=True)
    (folder / "migrations" / "env.py").write_text(ENVIRONMENT)
    for number, before, since in (("1", None, 0), ("2", "1", TODAY)):
        text = REVISION.format(number=number, before=before, since=since)
        (folder / "migrations" / "versions" / f"{number}_turnspit.py").write_text(text)

    def run(name: str, *words: str, **options: Any) -> str:
        config = Config(output_buffer=io.StringIO())
        config.set_main_option("script_location", str(folder / "migrations"))
        config.set_main_option("sqlalchemy.url", database)
        getattr(command, name)(config, *words, **options)
        printed: str = config.output_buffer.getvalue()
        return printed

    return run


def status_of(database: str) -> tuple[int, int]:
    with Turnspit(database, migrate=False) as app:
        status = app.engine.schema_status()
        if not status.is_newer and not status.pending:
            assert app.jobs.count() == 0
        return status.current, len(status.pending)


def test_a_revision_makes_the_tables(alembic: Alembic, database: str) -> None:
    alembic("upgrade", "1")
    assert status_of(database) == (TODAY, 0)
    alembic("upgrade", "head")  # which finds nothing to do
    alembic("downgrade", "base")
    assert status_of(database) == (TODAY, 0)
    alembic("upgrade", "head")


def test_a_later_revision_brings_the_tables_of_a_later_release(alembic: Alembic, database: str) -> None:
    alembic("upgrade", "1")
    with tomorrow():
        assert status_of(database) == (TODAY, 1)
        alembic("upgrade", "2")
        assert status_of(database) == (TODAY + 1, 0)
    assert status_of(database) == (TODAY + 1, 0)


@pytest.mark.parametrize("database", ["sqlite", "postgresql+psycopg"], indirect=True)
def test_offline_it_prints_what_makes_them(alembic: Alembic, database: str, folder: Path) -> None:
    with tomorrow():
        printed = alembic("upgrade", "head", sql=True)
    first, _, second = printed.partition("orders_2")
    assert "colours" in first  # the newest that this release knows
    assert "_initial" in first
    assert "_initial" not in second
    today = alembic("upgrade", "head", sql=True)
    assert status_of(database) == (0, TODAY)
    if database.startswith("sqlite"):
        import sqlite3

        connection = sqlite3.connect(folder / "shop.db")
        connection.executescript(today)
        connection.close()
    else:
        with psycopg.connect(database.replace("+psycopg", "")) as connected:
            connected.execute(today)
    assert status_of(database) == (TODAY, 0)


@pytest.mark.parametrize("database", ["sqlite", "postgresql+psycopg"], indirect=True)
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection")  # of what the hook leaves out
def test_autogenerate_leaves_them_alone(alembic: Alembic, database: str) -> None:
    alembic("upgrade", "1")
    engine = sqlalchemy.create_engine(database)
    with engine.connect() as connection:
        changes = []
        for hook in (include_name, None):
            options = {"include_schemas": True, "include_name": hook}
            context = MigrationContext.configure(connection, opts=options)
            changes.append({str(change[1].name) for change in compare_metadata(context, sqlalchemy.MetaData())})
    engine.dispose()
    assert changes[0] == {"orders_1"}
    assert len(changes[1]) > 5


def test_a_revision_that_fails_leaves_nothing(alembic: Alembic, database: str, folder: Path) -> None:
    revision = folder / "migrations" / "versions" / "1_turnspit.py"
    revision.write_text(revision.read_text().replace("since=0)", "since=0)\n    raise RuntimeError('no')"))
    with pytest.raises(RuntimeError, match="no"):
        alembic("upgrade", "1")
    assert status_of(database) in ((0, TODAY), (TODAY, 0))  # on SQLite Alembic runs DDL outside a transaction
