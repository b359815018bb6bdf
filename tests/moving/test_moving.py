"""What arrives, and how the two stores are used from then on."""

import sqlite3
from typing import Any

import psycopg
import pytest

from tests.contract.store import OwnedClock, Store
from tests.moving.conftest import DIRECTIONS, everything, move, work_off
from tests.postgres import VERSIONS, new_schema, server_url
from turnspit import Turnspit
from turnspit.contract import Engine
from turnspit.engines import open_engine
from turnspit.errors import JobNotFound, StoreFrozen
from turnspit.records import LEFT_TABLES, MOVED_TABLES, ErrorRecord
from turnspit.states import JobState


def test_everything_arrives_as_it_was(filled: Turnspit, new: Turnspit) -> None:
    before = everything(filled)
    moved = move(filled, new)
    assert everything(new) == before
    rows = {each.table: each.rows for each in moved.tables}
    assert (rows["jobs"], rows["history"], rows["attempts"], rows["unique_keys"]) == (23, 3, 2, 1)
    assert (rows["schedules"], rows["pauses"]) == (1, 1)
    assert [each.name for each in new.schedules.list(all=True)] == ["yearly"]


@pytest.mark.parametrize("urls", DIRECTIONS[:1], indirect=True, ids="-to-".join)
def test_text_with_nul_loses_it_where_it_cannot_be_stored(old: Turnspit, new: Turnspit) -> None:
    store = Store(old.engine, OwnedClock())
    job = store.kill(error=ErrorRecord("ValueError", "a\0b", "Traceback: a\0b", "f1"))
    move(old, new)
    [attempt] = new.jobs.get(job).attempts
    assert (attempt.error_message, attempt.traceback) == ("a\ufffdb", "Traceback: a\ufffdb")


def test_the_new_store_goes_on_where_the_old_one_was(filled: Turnspit, new: Turnspit) -> None:
    newest = filled.jobs.list(limit=1)[0].id
    move(filled, new)
    assert new.tasks["once"].enqueue("ada").id == newest  # its key is still held
    job = new.tasks["double"].enqueue(5)
    assert job.id > newest
    work_off(new)
    assert job.get_result() == 10
    assert new.jobs.count(state="ready") == 0
    assert new.jobs.count(state="dead") == 1
    assert new.jobs.replay(state="dead") == 1
    [dead] = new.jobs.list(state="ready")
    record = new.engine.read(new.engine.get_job, dead.id)
    assert record is not None
    assert record.fence == 2


def test_history_stays_unless_it_is_asked_for(filled: Turnspit, new: Turnspit) -> None:
    done = [job.id for job in filled.jobs.list(state="completed")]
    moved = move(filled, new, with_history=False)
    assert "history" not in {each.table for each in moved.tables}
    assert new.jobs.count() == 23
    for job in done:
        with pytest.raises(JobNotFound):
            new.jobs.get(job)
    assert filled.jobs.get(done[0]).state is JobState.COMPLETED


def test_ids_are_not_given_again_though_their_jobs_stayed(old: Turnspit, new: Turnspit) -> None:
    last = old.tasks["double"].enqueue(1).id
    work_off(old)
    move(old, new, with_history=False)
    assert new.jobs.count() == 0
    assert new.tasks["double"].enqueue(1).id > last


def test_the_old_store_names_the_new_one(filled: Turnspit, new: Turnspit) -> None:
    move(filled, new)
    double = filled.tasks["double"]
    for call in (
        lambda: double.enqueue(1),
        lambda: filled.enqueue_many([double.new(1)]),
        lambda: filled.jobs.cancel(all=True),
        lambda: filled.jobs.replay(state="dead"),
        lambda: filled.worker().__enter__(),
    ):
        with pytest.raises(StoreFrozen) as caught:
            call()
        assert str(caught.value) == (
            f"store {filled.engine.location} has moved to {new.engine.location}: point the app's URL there"
        )
    assert filled.jobs.count() == 26


def test_a_second_run_says_that_it_is_done(filled: Turnspit, new: Turnspit) -> None:
    assert not move(filled, new).was_done
    new.tasks["double"].enqueue(1)
    assert move(filled, new).was_done
    assert new.jobs.count() == 27


def test_it_can_move_on(filled: Turnspit, new: Turnspit, folder: Any) -> None:
    move(filled, new)
    with Turnspit(f"sqlite:///{folder}/third.db") as third:
        move(new, third)
        assert third.jobs.count() == 26
    with pytest.raises(StoreFrozen, match=r"has moved to .*third\.db"):
        new.tasks["double"].enqueue(1)


def test_the_job_of_a_dead_worker_is_rescued_in_the_new_store(old: Turnspit, new: Turnspit) -> None:
    clock = OwnedClock()
    old.engine.clock = new.engine.clock = clock
    store = Store(old.engine, clock)
    job = store.insert()
    store.claim_one()
    clock.advance(60)  # its lease runs out, and nobody is there to notice
    move(old, new)
    there = Store(new.engine, clock)
    rescuer = there.worker()
    assert there.state(job) is JobState.RUNNING
    there.outlive(rescuer)
    assert there.rescue(rescuer).returned == (job,)
    claim = there.claim_one(worker=rescuer)
    assert (claim.fence, claim.attempt, claim.crashes) == (2, 1, 1)


def _tables(engine: Engine, url: str) -> set[str]:
    engine.migrate()
    engine.close()
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as file:
            rows = file.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'turnspit_%'"
            ).fetchall()
        file.close()
        return {name.removeprefix("turnspit_") for (name,) in rows}
    with psycopg.connect(server_url(url)) as connection:
        query = (
            "SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
            "WHERE nspname = %s AND relkind IN ('r', 'p') AND NOT relispartition"
        )
        return {name for (name,) in connection.execute(query, (url.rpartition("=")[2],))}


@pytest.mark.parametrize("kind", ["sqlite", *VERSIONS])
def test_every_table_is_moved_or_left_on_purpose(kind: str | int, folder: Any) -> None:
    """Whoever adds a table decides: ``MOVED_TABLES`` or ``LEFT_TABLES`` in ``records/moves.py``."""
    named = {table.name for table in MOVED_TABLES} | set(LEFT_TABLES)
    if isinstance(kind, str):
        url = f"sqlite:///{folder}/jobs.db"
        assert _tables(open_engine(url), url) - named == set()
        return
    with new_schema(kind) as url:
        assert _tables(open_engine(url), url) - named == set()
