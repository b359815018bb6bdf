"""``app.schedules`` at run time, and its async twins."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from turnspit import ConfigurationError, Cron, Every, InvalidArguments, JobContext, Turnspit, Unique, testing
from turnspit._runtime.maintenance.scheduler import Scheduler
from turnspit.errors import InvalidPayload, ScheduleNotFound
from turnspit.records import NewJob


@pytest.fixture
def app() -> Turnspit:
    return Turnspit("sqlite:///never-opened.db", name="shop")


def test_a_created_schedule_is_changed_paused_resumed_run_and_removed(app: Turnspit) -> None:
    ran: list[int] = []

    @app.task
    def send_digest(user_id: int) -> None:
        ran.append(user_id)

    with testing.override(app) as store:
        created = app.schedules.create("digest", send_digest, Every(hours=1, args={"user_id": 7}))
        assert (created.task, created.arguments, created.is_declared) == ("send_digest", {"user_id": 7}, False)
        store.advance(timedelta(hours=1))
        store.drain()
        changed = app.schedules.create("digest", send_digest, Every(minutes=10, args={"user_id": 8}))
        assert (changed.rule, changed.last_job) == ("every 10 min", 1)
        app.schedules.pause("digest")
        assert app.schedules.get("digest").next_tick is None
        store.advance(timedelta(hours=1))
        assert store.drain() == []
        app.schedules.resume("digest")
        store.advance(timedelta(minutes=10))
        store.drain()
        job = app.schedules.run_now("digest")
        store.drain()
        assert app.jobs.get(job).state == "completed"
        app.schedules.remove("digest")
        assert app.schedules.list() == []
    assert ran == [7, 8, 8]


def test_async_twins(app: Turnspit) -> None:
    @app.task(schedule=Cron("@daily"))
    async def report() -> None: ...

    @app.task
    async def send_digest(user_id: int) -> None: ...

    async def go() -> None:
        async with testing.override(app, now=datetime(2026, 3, 2, 9, tzinfo=UTC)) as store:
            assert await app.schedules.asynchronise() == []
            created = await app.schedules.acreate("digest", send_digest, Every(hours=1, args={"user_id": 7}))
            assert created == await app.schedules.aget("digest")
            assert [each.name for each in await app.schedules.alist()] == ["digest", "report"]
            await app.schedules.apause("digest")
            assert (await app.schedules.aget("digest")).is_paused
            await app.schedules.aresume("digest")
            job = await app.schedules.arun_now("digest")
            await store.adrain()
            assert (await app.jobs.aget(job)).state == "completed"
            await store.aadvance(timedelta(hours=1))
            assert len(await store.adrain()) == 1
            await app.schedules.aremove("digest")
            with pytest.raises(ScheduleNotFound, match="no schedule 'digest' of this app"):
                await app.schedules.aget("digest")
            for verb in (app.schedules.apause, app.schedules.aresume, app.schedules.aremove, app.schedules.arun_now):
                with pytest.raises(ScheduleNotFound):
                    await verb("digest")

    asyncio.run(go())


def test_what_cannot_be_done(app: Turnspit) -> None:
    @app.task(schedule=Cron("@daily"))
    def report() -> None: ...

    @app.task
    def send_digest(user_id: int) -> None: ...

    with testing.override(app):
        app.schedules.synchronise()
        with pytest.raises(ConfigurationError, match="is declared in the code"):
            app.schedules.create("report", report, Cron("@hourly"))
        with pytest.raises(InvalidArguments, match="user_id"):
            app.schedules.create("digest", send_digest, Every(hours=1))
        with pytest.raises(ConfigurationError, match="takes a task"):
            app.schedules.create("digest", "send_digest", Every(hours=1))  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="takes one Cron"):
            app.schedules.create("digest", send_digest, [Every(hours=1), Every(hours=2)])  # type: ignore[arg-type]
        with pytest.raises(ScheduleNotFound, match="one that the code declares is removed there, or paused"):
            app.schedules.remove("report")


def test_a_schedule_whose_job_cannot_be_made_stops_no_other(app: Turnspit, caplog: pytest.LogCaptureFixture) -> None:
    region = ["north"]

    @app.task(schedule=Every(hours=1), unique=Unique(key=lambda: region[0]))
    def report() -> None: ...

    with testing.override(app, now=datetime(2026, 3, 2, 9, tzinfo=UTC)) as store:
        app.schedules.synchronise()
        region.clear()
        app.task(name="other", schedule=Every(hours=1))(nothing)
        app.task(name="third", schedule=Every(hours=1), unique=Unique(key=lambda: region[0]))(nothing_either)

        async def look() -> None:
            scheduler = Scheduler(app.engine, app.name, app.tasks)
            await scheduler.run_once()
            store.clock.set(store.now + timedelta(hours=1))
            await scheduler.run_once()  # says nothing again
            assert sorted(job.task for job in app.jobs.list()) == ["other", "report"]
            region.append("south")
            await scheduler.run_once()
            assert [each.name for each in app.schedules.list()] == ["other", "report", "third"]

        asyncio.run(look())
    told = [record.getMessage() for record in caplog.records if record.name == "turnspit"]
    assert [text.split(" (")[0] for text in told] == ["schedule report", "schedule third"]
    assert "IndexError: list index out of range" in told[0]


def test_one_that_the_store_refuses_stops_no_other(app: Turnspit) -> None:
    refused = ["bad"]
    app.task(name="bad", schedule=Every(hours=1, args={"text": "a\0b"}))(takes_text)
    app.task(name="other", schedule=Every(hours=1))(nothing)

    with testing.override(app, now=datetime(2026, 3, 2, 9, tzinfo=UTC)) as store:

        def check_new(new: NewJob[Any]) -> None:
            if new.task in refused:
                raise InvalidPayload("text with a NUL character")

        app.engine.check_new = check_new  # type: ignore[method-assign]

        async def look() -> None:
            scheduler = Scheduler(app.engine, app.name, app.tasks)
            await scheduler.run_once()  # it is not declared
            store.clock.set(store.now + timedelta(hours=1))
            await scheduler.run_once()
            assert sorted(job.task for job in app.jobs.list()) == ["other"]
            refused.clear()
            await scheduler.run_once()
            refused.append("bad")
            store.clock.set(store.now + timedelta(hours=1))
            with pytest.raises(InvalidPayload):  # declared, and refused when it is due
                await scheduler.run_once()
            assert sorted(job.task for job in app.jobs.list()) == ["other", "other"]

        asyncio.run(look())


def test_a_job_knows_its_tick(app: Turnspit) -> None:
    seen = []

    @app.task(schedule=Every(minutes=1, missed="run_all"))
    def report(job: JobContext) -> None:
        seen.append(job.tick)

    with testing.override(app) as store:
        app.schedules.synchronise()
        store.advance(timedelta(minutes=3))
        store.drain()
    assert len(seen) == len(set(seen)) == 3
    assert [later - earlier for earlier, later in pairwise(seen)] == [timedelta(minutes=1)] * 2


def test_apps_with_the_same_name_leave_each_other_alone(tmp_path: Path) -> None:
    """Also those that declare nothing: a worker of theirs is no new release of ours."""
    url = f"sqlite:///{tmp_path}/shared.db"
    first, second, third = Turnspit(url), Turnspit(url), Turnspit(url)

    @first.task(schedule=Cron("@daily"))
    def ours() -> None: ...

    @second.task(schedule=Cron("@daily"))
    def theirs() -> None: ...

    @third.task
    def unplanned() -> None: ...

    for each in (first, second, third, first):
        assert each.schedules.synchronise() == []
    assert [each.name for each in first.schedules.list()] == ["ours", "theirs"]
    for each in (first, second, third):
        each.close()


def nothing() -> None: ...


def takes_text(text: str) -> None: ...
def nothing_either() -> None: ...
