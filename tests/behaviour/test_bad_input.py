"""What is said to whom, word for word, where input is bad."""

import asyncio
import logging
import math
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, EmailStr
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tests.behaviour.support import DEADLINE, wait_until
from turnspit import (
    Blueprint,
    ConfigurationError,
    EngineUnavailable,
    InvalidArguments,
    InvalidPayload,
    Turnspit,
    TurnspitError,
)
from turnspit.contract.verbs import Statement, Verb
from turnspit.errors import InvalidTransaction, NotIncluded, SchemaMismatch, StoreRefused
from turnspit.records import NewJob

pytestmark = pytest.mark.on_sqlite

reports = Blueprint("reports")


@reports.task
def build(month: str) -> None: ...


class Line(BaseModel):
    sku: str
    weight: float | None = None


@pytest.fixture
def send(app: Turnspit) -> Any:
    @app.task
    async def send(to: EmailStr, order_id: int, note: Any = None, lines: list[Line] = []) -> None: ...  # noqa: B006

    return send


def said(error: type[Exception], call: Callable[[], object]) -> str:
    """The whole message of the error that the call raises."""
    with pytest.raises(error) as raised:
        call()
    assert type(raised.value) is error
    return str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"to": "ada", "order_id": 7},
            "send: to: value is not a valid email address: An email address must have an @-sign. (got 'ada')",
        ),
        ({"to": "ada@example.com"}, "send: order_id: Field required"),
        (
            {"to": "ada@example.com", "order_id": "seven", "copy": 1},
            (
                "send: order_id: Input should be a valid integer, unable to parse string as an integer (got 'seven'); "
                "copy: Extra inputs are not permitted (got 1)"
            ),
        ),
        (
            {"to": "ada@example.com", "order_id": 7, "lines": [{"sku": "a"}, {}]},
            "send: lines.1.sku: Field required",
        ),
    ],
)
def test_arguments_that_do_not_fit_the_signature(
    app: Turnspit, send: Any, arguments: dict[str, Any], message: str
) -> None:
    assert said(InvalidArguments, lambda: send.enqueue(**arguments)) == message
    assert said(InvalidArguments, lambda: asyncio.run(send.aenqueue(**arguments))) == message
    assert said(InvalidArguments, lambda: send.using(delay=5).new(**arguments)) == message
    assert app.jobs.count() == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"note": math.nan}, "NaN and Infinity are not JSON"),
        ({"note": [{"deep": -math.inf}]}, "NaN and Infinity are not JSON"),
        ({"lines": [Line(sku="a", weight=math.inf)]}, "NaN and Infinity are not JSON"),
        ({"note": "\ud800"}, "text with surrogates is not Unicode"),
        ({"note": object()}, "Unable to serialize unknown type: <class 'object'>"),
        (
            {"note": b"\xff"},
            "bytes that are not UTF-8 have no place in JSON; pydantic.Base64Bytes makes text of them",
        ),
        (
            {"note": "x" * 1024 * 1024},
            "1,048,623 bytes of JSON are over the limit of 1,048,576; store the data elsewhere and pass a reference",
        ),
    ],
    ids=["nan", "infinity", "infinity in a model", "surrogates", "an object", "bytes", "too large"],
)
def test_a_payload_that_cannot_be_stored(app: Turnspit, send: Any, arguments: dict[str, Any], reason: str) -> None:
    message = said(InvalidPayload, lambda: send.enqueue("ada@example.com", 7, **arguments))
    assert message == f"arguments of send cannot be stored: {reason}"
    assert app.jobs.count() == 0


def test_nul_is_text_like_any_other_on_sqlite(app: Turnspit, send: Any) -> None:
    assert send.enqueue("ada@example.com", 7, note="a\0b").refresh().args["note"] == "a\0b"


def test_a_stored_payload_that_does_not_validate_any_more(app: Turnspit, send: Any, caplog: Any) -> None:
    job = app.jobs.get(app.engine.write(app.engine.insert_job, NewJob("send", "default", '{"to": 1}')).id)
    with caplog.at_level(logging.INFO, "turnspit"), app.worker(until_empty=True) as worker:
        worker.wait()
    assert (job.refresh().state, job.error_type, job.reason, job.args) == (
        "scheduled",
        "InvalidPayload",
        "to: Input should be a valid string (got 1); order_id: Field required",
        {"to": 1},
    )


def test_a_task_that_no_worker_knows(app: Turnspit) -> None:
    job = app.jobs.get(app.engine.write(app.engine.insert_job, NewJob("retired", "default", "{}")).id)
    with app.worker(until_empty=True) as worker:
        worker.wait()
    assert (job.refresh().state, job.reason) == ("held", "no live worker knows task retired")


def test_a_blueprints_task_before_include() -> None:
    assert said(NotIncluded, lambda: build.enqueue("2026-01")) == (
        "task reports.build belongs to a blueprint that no app includes yet: add the line app.include(reports), "
        f"with reports from {__name__}"
    )


def test_two_tasks_of_one_name(app: Turnspit, send: Any) -> None:
    def other() -> None: ...

    here = f"{__name__}"
    assert said(ConfigurationError, lambda: app.task(name="send")(other)) == (
        f"two tasks are named 'send': {here}.send.<locals>.send and "
        f"{here}.test_two_tasks_of_one_name.<locals>.other; give one of them @task(name=...)"
    )


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "redis://localhost",
            (
                "no engine for 'redis://localhost': a store's URL begins with sqlite:///, as in sqlite:///shop.db (a "
                "file in the working directory) or sqlite:////srv/shop.db, or with postgresql://"
            ),
        ),
        (
            "mysql://ada:hush@db/shop",
            (
                "no engine for 'mysql://ada:***@db/shop': a store's URL begins with sqlite:///, as in "
                "sqlite:///shop.db (a file in the working directory) or sqlite:////srv/shop.db, or with postgresql://"
            ),
        ),
        (
            "sqlite://shop.db",
            (
                "'sqlite://shop.db' has two slashes: three make a path in the working directory (sqlite:///shop.db), "
                "four an absolute one (sqlite:////srv/shop.db)"
            ),
        ),
        (
            "sqlite:///:memory:",
            (
                "'sqlite:///:memory:' is a database in memory, where no accepted job would survive: name a file, as in "
                "sqlite:///shop.db; for tests see turnspit.testing"
            ),
        ),
        (
            "sqlite:///a%00.db",
            "'sqlite:///a%00.db' has a NUL character, which no file's name can have",
        ),
        (
            "sqlite:///a.db?mode=ro",
            "'sqlite:///a.db?mode=ro': options after ? are not supported; give them to Turnspit(...)",
        ),
        (Path("a.db"), f"a store's URL is text, as in 'sqlite:///shop.db', not {Path('a.db')!r}"),
    ],
)
def test_a_wrong_url(url: str, message: str) -> None:
    assert said(ConfigurationError, lambda: Turnspit(url)) == message


def test_no_folder(send: Any, folder: Path, app: Turnspit) -> None:
    app.configure(f"sqlite:///{folder}/missing/shop.db")
    assert said(StoreRefused, lambda: send.enqueue("ada@example.com", 7)) == (
        f"store {folder}/missing/shop.db cannot be made: its folder does not exist; create {folder}/missing first"
    )


def test_not_a_database(send: Any, folder: Path, app: Turnspit) -> None:
    (folder / "shop.db").write_text("This is a letter, not a database. " * 100)
    app.configure(f"sqlite:///{folder}/shop.db")
    for _ in range(2):
        assert said(StoreRefused, lambda: send.enqueue("ada@example.com", 7)) == (
            f"store {folder}/shop.db is not an SQLite database: check the URL (file is not a database)"
        )


def test_a_schema_of_a_newer_release(app: Turnspit, send: Any) -> None:
    app.migrate()
    app.close()
    with sqlite3.connect(app.engine.location) as connection:
        connection.execute("INSERT INTO turnspit_schema VALUES (9999, 'future', 9999, '')")
    for call in (lambda: send.enqueue("ada@example.com", 7), app.migrate, lambda: app.worker().__enter__()):
        message = said(SchemaMismatch, call)
        assert message.startswith(f"store {app.engine.location} has schema 9999, but this Turnspit knows ")
        assert message.endswith(": upgrade turnspit on this machine")


@pytest.fixture
def session(app: Turnspit) -> Iterator[Session]:
    app.migrate()
    engine = create_engine(f"sqlite:///{app.engine.location}")
    with Session(engine) as session:
        yield session
    engine.dispose()


def test_a_sync_session_given_to_the_async_verb(app: Turnspit, send: Any, session: Session) -> None:
    call = send.using(tx=session).aenqueue("ada@example.com", 7)
    assert said(InvalidTransaction, lambda: asyncio.run(call)) == (
        "a sqlalchemy Session is not async: use the verb without an a in front, as in task.enqueue(...)"
    )


def test_an_async_session_given_to_the_sync_verb(app: Turnspit, send: Any) -> None:
    async def main() -> str:
        engine = create_async_engine(f"sqlite+aiosqlite:///{app.engine.location}")
        async with AsyncSession(engine) as session:
            message = said(
                InvalidTransaction,
                lambda: app.enqueue_many([send.new("ada@example.com", 7)], tx=session),
            )
        await engine.dispose()
        return message

    app.migrate()
    with pytest.warns(RuntimeWarning, match="a sync verb was called inside a running event loop"):
        message = asyncio.run(main())
    assert message == (
        "the sqlalchemy AsyncSession is for async code: use the verb with an a in front, as in await task.aenqueue(...)"
    )


def test_a_transaction_of_another_database(app: Turnspit, send: Any, folder: Path) -> None:
    app.migrate()
    for name, other in ((str(folder / "other.db"), str(folder / "other.db")), (":memory:", "a database in memory")):
        connection = sqlite3.connect(name)
        connection.execute("BEGIN")
        assert said(InvalidTransaction, lambda tx=connection: send.using(tx=tx).enqueue("ada@example.com", 7)) == (
            f"tx= is a transaction of {other}, but the jobs of this app are in {app.engine.location}"
        )
        connection.close()


def test_what_is_no_transaction(app: Turnspit, send: Any) -> None:
    app.migrate()
    assert said(InvalidTransaction, lambda: send.using(tx="begin").enqueue("ada@example.com", 7)) == (
        "on SQLite tx= takes a sqlite3, aiosqlite, SQLAlchemy or Django connection or a SQLAlchemy session, not str"
    )
    connection = sqlite3.connect(app.engine.location, isolation_level=None)
    assert said(InvalidTransaction, lambda: send.using(tx=connection).enqueue("ada@example.com", 7)) == (
        "tx= was given a sqlite3 connection in autocommit mode with no open transaction: "
        'run connection.execute("BEGIN") first, and commit when you are done'
    )
    connection.close()


def test_a_file_locked_by_this_very_process(app: Turnspit, send: Any) -> None:
    app.migrate()
    with sqlite3.connect(app.engine.location) as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert said(EngineUnavailable, lambda: send.enqueue("ada@example.com", 7)) == (
            f"store {app.engine.location} is locked by another connection of this very process: pass that connection "
            "or session as tx=, so that the job joins its transaction"
        )
    connection.close()


def _grow_no_more() -> Verb[None]:
    [(pages,)] = yield Statement("PRAGMA page_count", {})
    yield Statement(f"PRAGMA max_page_count = {pages}", {})


def test_a_full_disk(app: Turnspit, send: Any) -> None:
    app.migrate()
    app.engine.write(_grow_no_more)

    def fill() -> None:
        for _ in range(1000):
            send.enqueue("ada@example.com", 7, note="x" * 5000)

    assert said(EngineUnavailable, fill) == (
        f"store {app.engine.location} cannot grow: the disk is full; free some space, nothing acknowledged was lost "
        "(database or disk is full)"
    )


def _write_no_more() -> Verb[None]:
    yield Statement("PRAGMA query_only = 1", {})


def test_a_read_only_file(app: Turnspit, send: Any) -> None:
    app.engine.write(_write_no_more)
    assert said(EngineUnavailable, lambda: send.enqueue("ada@example.com", 7)) == (
        f"store {app.engine.location} cannot be written: the file, its folder or the file system is read-only "
        "(attempt to write a readonly database)"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queues": "mail"}, "queues is a list of names, not 'mail'"),
        ({"queues": ["mail", ""]}, "a queue's name must be text of 1 to 255 characters without NUL, not ''"),
        ({"queues": []}, "queues is empty, so the worker would do nothing: name some, or leave it out for all"),
        ({"concurrency": 0}, "concurrency is a whole number from 1 to 1,000,000, not 0"),
        ({"concurrency": 10**30}, f"concurrency is a whole number from 1 to 1,000,000, not {10**30}"),
        ({"grace": -1}, "grace must be between 0 seconds and 100 years, not -1"),
        (
            {"lease": 1, "heartbeat": 2},
            (
                "heartbeat is more than 0 and at most half of the lease, so that one late heartbeat loses no job: not "
                "2 s with a lease of 1 s"
            ),
        ),
    ],
)
def test_a_worker_that_cannot_be(app: Turnspit, options: dict[str, Any], message: str) -> None:
    for make in (app.worker, app.run_worker):
        with pytest.raises(TurnspitError) as raised:
            make(**options)  # type: ignore[operator]
        assert str(raised.value) == message


@pytest.mark.parametrize("number", [0, -1, 2.5, True])
def test_a_number_of_crashes_that_cannot_be(number: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^max_crashes is a whole number of at least 1, not {number}$"):
        Turnspit("sqlite:///shop.db", max_crashes=number)


def test_a_worker_process_in_the_wrong_place(app: Turnspit) -> None:
    async def in_a_loop() -> None:
        app.run_worker(until_empty=True)

    message = (
        "run_worker() needs a program's main thread, outside an event loop and outside a job: elsewhere use "
        "`with app.worker():` or `async with app.worker():`"
    )
    assert said(ConfigurationError, lambda: asyncio.run(in_a_loop())) == message
    with ThreadPoolExecutor(1) as thread:
        assert said(ConfigurationError, thread.submit(app.run_worker, until_empty=True).result) == message


def test_a_worker_goes_on_after_a_full_disk(app: Turnspit, caplog: pytest.LogCaptureFixture) -> None:
    @app.task
    async def make(size: int) -> str:
        return "x" * size

    app.migrate()
    jobs = [make.enqueue(200_000) for _ in range(3)]
    app.engine.write(_grow_no_more)
    with caplog.at_level(logging.WARNING, "turnspit"), app.worker(concurrency=2):
        wait_until(lambda: "the disk is full" in caplog.text, "the full disk")
        app.engine.write(_grow_again)
        assert [len(job.get_result(DEADLINE)) for job in jobs] == [200_000] * 3
    assert {job.attempt for job in jobs} == {1}


def _grow_again() -> Verb[None]:
    yield Statement("PRAGMA max_page_count = 1000000", {})
