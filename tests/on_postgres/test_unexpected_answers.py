"""Somebody's own trigger on the table of jobs lets the server answer otherwise than Turnspit expects."""

import asyncio
import threading
from typing import Any

import psycopg
import pytest

from turnspit import EngineUnavailable, Turnspit
from turnspit.contract.verbs import Statement, Verb
from turnspit.errors import EngineError
from turnspit.records import NewJob

NEW: NewJob[None] = NewJob("send", "default", "{}")
BAD = NEW._replace(priority=5)


def add_trigger(connection: psycopg.Connection[Any], app: Turnspit, when: str, then: str) -> None:
    schema = app.engine.settings.schema  # type: ignore[attr-defined]
    connection.execute(
        f"CREATE FUNCTION {schema}.own() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {then}; RETURN new; END $$; "
        f"CREATE {when} FOR EACH ROW WHEN (new.priority = 5) EXECUTE FUNCTION {schema}.own()".replace(
            "{jobs}", f"{schema}.jobs"
        )
    )
    connection.commit()


def insert_together(app: Turnspit, *jobs: NewJob[None]) -> list[Any]:
    """All of these wait while the writer is busy, and are then stored by one statement."""

    async def insert() -> list[Any]:
        engine, entered, may_leave = app.engine, threading.Event(), threading.Event()

        def hold() -> Verb[None]:
            entered.set()
            assert may_leave.wait(20)
            return
            yield Statement("", ())

        holding = asyncio.ensure_future(engine.awrite(hold))
        assert await asyncio.to_thread(entered.wait, 20)
        calls = [asyncio.ensure_future(engine.awrite(engine.insert_job, new)) for new in jobs]
        await asyncio.sleep(0)
        may_leave.set()
        await asyncio.gather(holding, return_exceptions=True)
        return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(insert())


@pytest.mark.parametrize(
    "when", ["TRIGGER own BEFORE INSERT ON {jobs}", "CONSTRAINT TRIGGER own AFTER INSERT ON {jobs} INITIALLY DEFERRED"]
)
def test_a_trigger_that_refuses_a_job_refuses_no_other(
    app: Turnspit, connection: psycopg.Connection[Any], when: str
) -> None:
    """Also one that speaks in the COMMIT, after the rows have come."""
    add_trigger(connection, app, when, "RAISE EXCEPTION 'refused'")
    first, bad, last = insert_together(app, NEW, BAD, NEW)
    assert isinstance(bad, EngineError)
    with pytest.raises(EngineError, match="refused"):
        app.engine.write(app.engine.insert_job, BAD)
    with pytest.raises(EngineError, match="refused"):
        app.engine.write(app.engine.insert_jobs, [NEW, BAD])
    assert {job.id for job in app.jobs.list()} == {first.id, last.id}


def test_a_trigger_that_leaves_a_job_out_lets_no_other_be_stored_twice(
    app: Turnspit, connection: psycopg.Connection[Any]
) -> None:
    """The statement has committed by itself: whoever tried again would store the others once more."""
    add_trigger(connection, app, "TRIGGER own BEFORE INSERT ON {jobs}", "RETURN NULL")
    answers = insert_together(app, NEW, BAD, NEW)
    assert {type(answer) for answer in answers} == {EngineUnavailable}
    assert all("may or may not have been carried out" in str(answer) for answer in answers)
    assert app.jobs.count() == 2
