"""4. A task can finish its job inside its own database transaction: both happen exactly once, or neither."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from tests.behaviour.support import DEADLINE, wait_until
from tests.postgres import server_url
from turnspit import JobContext, Retry, Turnspit, testing
from turnspit._runtime.worker import finisher
from turnspit.errors import JobDead, LostClaim, ResultNotStored

ONCE = Retry(attempts=1)


class Shop:
    """The application's own table of payments, in the store's database."""

    def __init__(self, store_url: str, folder: Path) -> None:
        is_file = store_url.startswith("sqlite")
        self.url = store_url if is_file else server_url(store_url).replace("postgresql:", "postgresql+psycopg:")
        self.async_url = self.url.replace("sqlite:", "sqlite+aiosqlite:").replace("+psycopg", "+asyncpg")
        self.database: Any = create_engine(self.url, poolclass=NullPool)
        if is_file:
            _begin_as_documented(self.database)
        self.table = f"payments_{folder.name.replace('-', '_')}".lower()
        with self.database.begin() as connection:
            connection.execute(text(f"CREATE TABLE {self.table} (job BIGINT, attempt BIGINT)"))

    def pay(self, tx: Any, job: JobContext) -> None:
        tx.execute(text(f"INSERT INTO {self.table} VALUES ({job.id}, {job.attempt})"))

    def payments(self) -> list[int]:
        with self.database.connect() as connection:
            return [attempt for (attempt,) in connection.execute(text(f"SELECT attempt FROM {self.table}"))]

    def close(self) -> None:
        with self.database.begin() as connection:
            connection.execute(text(f"DROP TABLE {self.table}"))
        self.database.dispose()


def _begin_as_documented(database: Any) -> None:
    """SQLAlchemy's manual, "Serializable isolation / Savepoints / Transactional DDL" of pysqlite."""

    @event.listens_for(database, "connect")
    def connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(database, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")


@pytest.fixture
def shop(store_url: str, app: Turnspit, folder: Path) -> Iterator[Shop]:
    app.migrate()
    shop = Shop(store_url, folder)
    yield shop
    shop.close()


def test_the_job_and_its_work_commit_together(app: Turnspit, shop: Shop) -> None:
    @app.task(retry=ONCE)
    def charge(job: JobContext) -> str:
        with Session(shop.database) as session, session.begin():
            shop.pay(session, job)
            job.finish(session, result="charged")
            assert app.jobs.get(job.id).state == "running", "nobody else sees it before the commit"
        assert app.jobs.get(job.id).state == "completed"
        return "not used"

    with app.worker():
        job = charge.enqueue()
        assert job.get_result(timeout=DEADLINE) == "charged"
    assert shop.payments() == [1]
    assert [attempt.outcome for attempt in job.refresh().attempts] == ["completed"]
    assert sum(queue.completed_last_hour for queue in app.queues.stats()) == 1


def test_async(app: Turnspit, shop: Shop) -> None:
    @app.task(retry=ONCE)
    async def charge(job: JobContext) -> None:
        database = create_async_engine(shop.async_url, poolclass=NullPool)
        async with database.begin() as connection:
            await connection.run_sync(lambda tx: shop.pay(tx, job))
            await job.afinish(connection, result=7)
        await database.dispose()

    with app.worker():
        assert charge.enqueue().get_result(timeout=DEADLINE) == 7
    assert shop.payments() == [1]


def test_what_rolls_back_is_tried_again(app: Turnspit, shop: Shop) -> None:
    @app.task(retry=Retry(attempts=2, base=0.001))
    def charge(job: JobContext) -> None:
        with Session(shop.database) as session, session.begin():
            shop.pay(session, job)
            job.finish(session, result=job.attempt)
            if job.attempt == 1:
                raise ConnectionError("the bank hung up")

    with app.worker():
        job = charge.enqueue()
        assert job.get_result(timeout=DEADLINE) == 2
    assert shop.payments() == [2]
    first, second = job.refresh().attempts
    assert (first.outcome, first.error_type) == ("failed", "ConnectionError")
    assert second.outcome == "completed"


def test_an_error_after_the_commit_changes_nothing(app: Turnspit, shop: Shop) -> None:
    @app.task(retry=ONCE)
    def charge(job: JobContext) -> None:
        with Session(shop.database) as session, session.begin():
            shop.pay(session, job)
            job.finish(session, result="charged")
        raise ConnectionError("the cache could not be told")

    with app.worker():
        assert charge.enqueue().get_result(timeout=DEADLINE) == "charged"
    assert shop.payments() == [1]
    assert app.jobs.count(state="dead") == 0


@pytest.mark.parametrize("savepoint", [False, True])
def test_a_transaction_that_did_not_commit_is_a_failed_attempt(app: Turnspit, shop: Shop, savepoint: bool) -> None:
    @app.task(retry=ONCE)
    def charge(job: JobContext) -> str:
        with Session(shop.database) as session:
            if savepoint:
                inner = session.begin_nested()
                job.finish(session)
                inner.rollback()
                session.commit()
            else:
                job.finish(session)
                session.rollback()
        return "charged"

    reason = r"FinishNotCommitted: job 1 \(charge\) called job.finish\(\) and returned, "
    with app.worker(), pytest.raises(JobDead, match=reason):
        charge.enqueue().get_result(timeout=DEADLINE)


def test_finish_after_a_savepoint_that_was_rolled_back(app: Turnspit, shop: Shop) -> None:
    @app.task(retry=ONCE)
    def charge(job: JobContext) -> None:
        with Session(shop.database) as session, session.begin():
            inner = session.begin_nested()
            job.finish(session, "first")
            inner.rollback()
            job.finish(session, "second")

    with app.worker():
        assert charge.enqueue().get_result(timeout=DEADLINE) == "second"


def test_a_claim_that_was_lost_finishes_nothing(app: Turnspit, shop: Shop) -> None:
    """A worker that was suspended for long wakes up: its job is another's, and its payment must not stay."""
    raised: list[BaseException] = []

    @app.task(retry=ONCE)
    def charge(job: JobContext) -> str:
        if not raised:
            engine = app.engine
            claim = job._claim
            engine.write(engine.return_jobs, [(claim.id, claim.fence)])
            try:
                with Session(shop.database) as session, session.begin():
                    shop.pay(session, job)
                    job.finish(session, result="first")
            except LostClaim as error:
                raised.append(error)
                raise
        return "second"

    with app.worker():
        assert charge.enqueue().get_result(timeout=DEADLINE) == "second"
    assert "not this worker's any more" in str(raised[0])
    assert shop.payments() == []


def test_a_result_that_cannot_be_stored_keeps_the_work(app: Turnspit, shop: Shop) -> None:
    @app.task(retry=ONCE)
    def charge(job: JobContext) -> None:
        with Session(shop.database) as session, session.begin():
            shop.pay(session, job)
            job.finish(session, result=object())

    with app.worker(), pytest.raises(ResultNotStored, match="the result of charge cannot be stored"):
        charge.enqueue().get_result(timeout=DEADLINE)
    assert shop.payments() == [1]


def test_events_tell_what_the_store_says(app: Turnspit, shop: Shop) -> None:
    told: list[tuple[str, str | None]] = []
    app.on("completed", "failed", "dead")(lambda event: told.append((event.name, event.error_type)))

    @app.task(retry=ONCE)
    def charge(job: JobContext, commits: bool) -> None:
        with Session(shop.database) as session:
            job.finish(session)
            session.commit() if commits else session.rollback()

    with app.worker(until_empty=True) as worker:
        charge.enqueue(commits=True)
        charge.enqueue(commits=False)
        worker.wait()
    assert sorted(told, key=str) == [("completed", None), ("dead", "FinishNotCommitted")]


def test_a_transaction_left_open_holds_up_nobody_else(
    app: Turnspit, shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake that locks one job: the worker goes on with the others, and decides when the transaction has ended."""
    if app.engine.location.endswith(".db"):
        pytest.skip("on SQLite an open transaction holds the whole file")
    left: list[Any] = []

    @app.task(retry=ONCE)
    def charge(job: JobContext) -> None:
        session = Session(shop.database)
        job.finish(session, "late")
        left.append(session)

    @app.task
    async def other() -> int:
        return 7

    with app.worker(), caplog.at_level(logging.WARNING, "turnspit"):
        job = charge.enqueue()
        wait_until(lambda: "is still open" in caplog.text, "a word about the open transaction")
        assert other.enqueue().get_result(timeout=DEADLINE) == 7
        assert job.refresh().state == "running"
        left[0].commit()
        assert job.get_result(timeout=DEADLINE) == "late"


def test_who_asks_for_an_open_transaction_asks_seldom(
    app: Turnspit, shop: Shop, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not whenever another job ends: that was a warning and a slower transaction each time. But again when it stops."""
    if app.engine.location.endswith(".db"):
        pytest.skip("on SQLite an open transaction holds the whole file")
    monkeypatch.setattr(finisher, "_ASK_AGAIN", 3600.0)
    left: list[Any] = []

    @app.task(retry=ONCE)
    def charge(job: JobContext) -> None:
        session = Session(shop.database)
        job.finish(session, "late")
        left.append(session)

    @app.task
    async def other() -> None: ...

    with app.worker():
        job = charge.enqueue()
        wait_until(lambda: "is still open" in caplog.text, "a word about the open transaction")
        for _ in range(5):
            other.enqueue().get_result(timeout=DEADLINE)
        asked = caplog.text.count("is still open")
        left[0].commit()
    assert asked == 1
    assert job.get_result(timeout=0) == "late"
    assert job.attempts[-1].outcome == "completed"


def test_in_the_test_kit(app: Turnspit, shop: Shop) -> None:
    with testing.context() as job:
        job.finish("my session", result=3)
        asyncio.run(job.afinish("another"))
    assert job.finished == [("my session", 3), ("another", None)]


def test_the_log_tells_what_the_store_says(app: Turnspit, shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    @app.task(retry=Retry(attempts=2, delay=0))
    def charge(job: JobContext, how: str) -> None:
        with Session(shop.database) as session:
            job.finish(session)
            session.rollback() if how == "rolled back" and job.attempt == 1 else session.commit()
        if how == "raises":
            raise OSError("after the commit")

    caplog.set_level("INFO", logger="turnspit")
    app.enqueue_many(charge.new(how=how) for how in ("returns", "raises", "rolled back"))
    app.run_worker(until_empty=True)

    failed = [line.partition(", the next in ") for line in caplog.messages if "failed, attempt" in line]
    assert [line[0] for line in failed] == ["job 3 (charge) failed, attempt 1"]
    assert "FinishNotCommitted" in failed[0][2]
