"""``override`` gives already imported tasks a private store, and takes it away again."""

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine
from sqlalchemy.orm import Session

from turnspit import Blueprint, ConfigurationError, JobContext, Turnspit, TurnspitError
from turnspit.telemetry.prometheus import Metrics
from turnspit.testing import TestStore, override

reports = Blueprint("reports")


@reports.task
async def build(month: str) -> str:
    return month.upper()


def test_a_blueprints_task_that_was_imported_long_ago_reaches_the_private_store(app: Turnspit) -> None:
    blueprint = Blueprint("letters")

    @blueprint.task
    async def post(to: str) -> None: ...

    app.include(blueprint)
    post.enqueue(to="the real store")
    with override(app) as t:
        post.enqueue(to="the private store")
        assert [job.args["to"] for job in t.enqueued()] == ["the private store"]
    assert [job.args["to"] for job in app.jobs.list()] == ["the real store"]


def test_an_app_whose_store_was_never_opened_still_opens_nothing(folder: Path) -> None:
    app = Turnspit(f"sqlite:///{folder}/jobs.db")
    task = app.task(_nothing)
    with override(app):
        task.enqueue()
    assert list(folder.iterdir()) == []
    task.enqueue()
    assert app.jobs.count() == 1
    app.close()


def test_the_old_store_is_back_after_an_error(app: Turnspit) -> None:
    before = app.engine
    with pytest.raises(ZeroDivisionError, match="while it was elsewhere"), override(app):
        raise ZeroDivisionError("while it was elsewhere" * (app.engine is not before))
    assert app.engine is before


def test_nested_overrides_are_undone_from_the_inside(app: Turnspit) -> None:
    task = app.task(_nothing)
    before = app.engine
    with override(app) as outer:
        task.enqueue()
        with override(app) as inner:
            assert inner.enqueued() == []
            task.enqueue()
            task.enqueue()
            with pytest.raises(TurnspitError, match="use the innermost"):
                outer.drain()
            assert len(inner.drain()) == 2
        assert len(outer.enqueued()) == 1
        assert len(outer.drain()) == 1
    assert app.engine is before


def test_resources_belong_to_the_innermost_block_too(app: Turnspit) -> None:
    @app.lifespan
    async def lifespan(app: Turnspit) -> AsyncIterator[dict[str, str]]:
        yield {"mail": "real"}

    @app.task
    async def send(job: JobContext) -> str:
        return str(job.resources["mail"])

    def mail(t: TestStore) -> str:
        return t.run_one(send.enqueue()).get_result(timeout=0)

    with override(app, resources={"mail": "outer fake"}) as outer:
        with override(app) as inner:
            assert mail(inner) == "real"
            inner.resources = {"mail": "inner fake"}
            assert mail(inner) == "inner fake"
        assert mail(outer) == "outer fake"
        outer.resources = None
        assert mail(outer) == "real"
    with app.worker():
        assert send.enqueue().get_result(timeout=30) == "real"


def test_nothing_is_left_behind(app: Turnspit) -> None:
    task = app.task(_nothing)
    with override(app) as t:
        task.enqueue()
        file = Path(app.engine.location)
        assert file.exists()
        t.drain()
    assert not file.parent.exists()


def test_a_store_cannot_be_used_after_its_block(app: Turnspit) -> None:
    """Its verbs would run the jobs of the app's real store."""
    task = app.task(_nothing)
    task.enqueue()
    with override(app) as t:
        pass
    for verb in (
        t.drain,
        t.enqueued,
        t.maintain,
        t.next_due,
        lambda: t.advance(1),
        lambda: t.jobs,
        lambda: t.run_one(1),
    ):
        with pytest.raises(TurnspitError, match="override has ended"):
            verb()
    assert app.jobs.get(1).state == "ready"


def test_one_override_is_one_block(app: Turnspit) -> None:
    block = override(app)
    with block, pytest.raises(TurnspitError, match="in force already"), block:
        pass
    with block as t:
        assert t.enqueued() == []


def test_a_configure_inside_the_block_does_not_undo_it(app: Turnspit, folder: Path) -> None:
    """An application factory that runs in the test calls it."""
    task = app.task(_nothing)
    with override(app) as t:
        app.configure(f"sqlite:///{folder}/other.db")
        task.enqueue()
        assert len(t.drain()) == 1
        assert not (folder / "other.db").exists()
    task.enqueue()
    assert app.engine.location == str(folder / "other.db")
    assert (folder / "other.db").exists()


def test_a_close_inside_the_block_loses_no_job(app: Turnspit) -> None:
    """``async with app:`` in a web application's lifespan closes the app while the test goes on."""
    task = app.task(_nothing)
    with override(app) as t:
        task.enqueue()
        app.close()
        assert [job.state for job in t.drain()] == ["completed"]


def test_the_app_itself_can_be_a_fresh_one() -> None:
    with override(Turnspit()) as t:
        t.app.include(reports)
        assert build.enqueue(month="may").id == 1
        assert [job.get_result(timeout=0) for job in t.drain()] == ["MAY"]


def test_what_is_not_an_app_is_refused() -> None:
    with pytest.raises(TurnspitError, match="takes a Turnspit app"):
        override("shop.jobs:app")  # type: ignore[arg-type]


@pytest.mark.parametrize("driver", ["sqlite3", "sqlalchemy"])
def test_a_store_in_the_test_s_own_database_joins_its_transactions(app: Turnspit, folder: Path, driver: str) -> None:
    task = app.task(_nothing)
    file = folder / "test.db"
    with (
        override(app, url=f"sqlite:///{file}") as t,
        closing(sqlite3.connect(file)) as bare,
        Session(create_engine(f"sqlite:///{file}", poolclass=NullPool)) as session,
    ):
        tx = bare if driver == "sqlite3" else session
        task.using(tx=tx).enqueue()
        tx.rollback()
        assert t.enqueued() == []
        task.using(tx=tx).enqueue()
        tx.commit()
        assert [job.state for job in t.drain()] == ["completed"]
    assert file.exists()


def test_a_wrong_url_changes_nothing(app: Turnspit) -> None:
    before = app.engine
    with pytest.raises(ConfigurationError, match="no engine for"), override(app, url="mysql://x"):
        pass
    assert app.engine is before


def test_each_store_is_a_file_that_other_tools_can_read(t: TestStore) -> None:
    t.app.task(_nothing).enqueue()
    with sqlite3.connect(t.app.engine.location) as connection:
        assert connection.execute("SELECT task, state FROM turnspit_jobs").fetchall() == [("_nothing", "ready")]
    connection.close()
    assert str(os.getpid()) not in repr(t)


def _nothing() -> None:
    pass


def test_an_app_that_is_measured_is_tested_as_any_other(app: Turnspit) -> None:
    """Its metrics stand between everybody and the engine."""
    Metrics(app)

    @app.task
    def task() -> int:
        return 7

    with override(app) as t:
        task.enqueue()
        assert [job.get_result(timeout=0) for job in t.drain()] == [7]
    with pytest.raises(TurnspitError, match="this private store is not in use"):
        t.drain()
