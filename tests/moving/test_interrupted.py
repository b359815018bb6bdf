"""Killed, given up, made to wait: the next run completes it, or everything is as before."""

import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

from tests.moving.conftest import DIRECTIONS, everything, move, work_off
from turnspit import JobContext, Turnspit
from turnspit.errors import EngineError, InvalidPayload, StoreFrozen
from turnspit.operations import moving, thaw_store
from turnspit.records import NewJob

BETWEEN = DIRECTIONS[:2]
KILL_POINTS = [
    ("freeze_store", 1),
    ("fill_store", 1),
    ("seal_store", 1),
    ("write_rows", 1),
    ("write_rows", 4),
    ("end_move", 1),
    ("open_store", 1),
]


def kill(urls: tuple[str, str], kill_point: str, call: int) -> None:
    command = [sys.executable, "-m", "tests.moving.programs", *urls, kill_point, str(call)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert (answer.returncode, answer.stderr) == (-signal.SIGKILL, "")


@pytest.mark.parametrize("urls", BETWEEN, indirect=True, ids="-to-".join)
@pytest.mark.parametrize(("kill_point", "call"), KILL_POINTS)
def test_killed_with_kill_9_the_next_run_completes_it(
    filled: Turnspit, new: Turnspit, urls: tuple[str, str], kill_point: str, call: int
) -> None:
    before = everything(filled)
    kill(urls, kill_point, call)
    move(filled, new)
    assert everything(new) == before
    assert move(filled, new).was_done
    new.tasks["double"].enqueue(1)


@pytest.mark.parametrize("urls", BETWEEN, indirect=True, ids="-to-".join)
def test_in_the_middle_both_stores_are_closed_and_say_so(
    filled: Turnspit, new: Turnspit, urls: tuple[str, str]
) -> None:
    kill(urls, "write_rows", 3)
    with pytest.raises(StoreFrozen, match=r"is frozen while its jobs move to .*: use that store"):
        filled.tasks["double"].enqueue(1)
    with pytest.raises(StoreFrozen, match=r"is being filled from .*, and not complete: go on with `turnspit move`"):
        new.tasks["double"].enqueue(1)
    assert 0 < new.jobs.count() < filled.jobs.count()


@pytest.mark.parametrize("urls", BETWEEN, indirect=True, ids="-to-".join)
def test_given_up_in_the_middle_the_old_store_is_as_before(
    filled: Turnspit, new: Turnspit, urls: tuple[str, str]
) -> None:
    kill(urls, "write_rows", 3)
    assert thaw_store(filled.engine)
    assert not thaw_store(filled.engine)
    job = filled.tasks["double"].enqueue(50)
    work_off(filled)
    assert job.get_result() == 100
    before = everything(filled)
    move(filled, new)  # begins anew in what the first one has left
    assert everything(new) == before


def test_a_complete_move_cannot_be_given_up(filled: Turnspit, new: Turnspit) -> None:
    move(filled, new)
    assert not thaw_store(filled.engine)
    with pytest.raises(StoreFrozen):
        filled.tasks["double"].enqueue(1)


def test_running_jobs_may_end_and_no_other_begins(old: Turnspit, new: Turnspit) -> None:
    inside, go_on = threading.Event(), threading.Event()

    @old.task
    def hold(job: JobContext) -> str:
        inside.set()
        assert go_on.wait(20)
        job.log("still here")
        return "done"

    with old.worker(concurrency=1):
        running = hold.enqueue()
        assert inside.wait(20)
        waiting = old.tasks["double"].enqueue(1)
        with pytest.raises(EngineError) as caught:
            move(old, new)
        assert f"is frozen, but jobs still run: {running.id} (hold, worker 1)" in str(caught.value)
        with pytest.raises(StoreFrozen):
            old.tasks["double"].enqueue(2)
        go_on.set()
        move(old, new, wait=20)
    assert new.jobs.get(running.id).get_result() == "done"
    assert [line.message for line in new.engine.read(new.engine.list_logs, running.id)] == ["still here"]
    assert new.jobs.get(waiting.id).state == "ready"


def test_frozen_no_job_is_claimed_and_thawed_it_is(old: Turnspit, new: Turnspit) -> None:
    engine = old.engine
    with old.worker():
        old.tasks["double"].enqueue(1).get_result(timeout=20)
        engine.write(engine.freeze_store, "token", "elsewhere", False, "is frozen")
        with pytest.raises(StoreFrozen, match="is frozen"):
            old.tasks["double"].enqueue(2)
        assert thaw_store(engine)
        assert old.tasks["double"].enqueue(2).get_result(timeout=20) == 4


def test_two_that_move_at_once_do_no_harm(filled: Turnspit, new: Turnspit, monkeypatch: pytest.MonkeyPatch) -> None:
    before = everything(filled)
    monkeypatch.setattr(moving, "_FIRST", 5)
    write = new.engine.write
    other: list[Any] = []

    def overtaken(verb: Any, *args: Any) -> Any:
        if verb == new.engine.write_rows and not other:
            other.append(None)
            other.append(move(filled, new))
        return write(verb, *args)

    monkeypatch.setattr(new.engine, "write", overtaken)
    with pytest.raises(EngineError, match="is being filled by another `turnspit move`"):
        move(filled, new)
    monkeypatch.undo()
    assert everything(new) == before


def test_a_difference_is_found(filled: Turnspit, new: Turnspit, monkeypatch: pytest.MonkeyPatch) -> None:
    insert = new.engine.insert_rows  # type: ignore[attr-defined]

    def forgetful(table: Any, columns: Any, rows: Any) -> Any:
        return insert(table, columns, rows[:-1] if table.name == "history" else rows)

    monkeypatch.setattr(new.engine, "insert_rows", forgetful)
    with pytest.raises(EngineError, match="history differs: 3 rows with the checksum"):
        move(filled, new)
    monkeypatch.undo()
    with pytest.raises(StoreFrozen):
        new.tasks["double"].enqueue(1)
    assert thaw_store(filled.engine)
    move(filled, new)


@pytest.mark.parametrize("urls", BETWEEN[:1], indirect=True, ids="-to-".join)
@pytest.mark.parametrize(
    ("args", "reason"),
    [("no json", "is no JSON"), ('{"a":NaN}', "is no JSON"), ('{"a":"\\u0000"}', "has a NUL character")],
)
def test_what_the_target_cannot_hold_is_named(old: Turnspit, new: Turnspit, args: str, reason: str) -> None:
    job = old.engine.write(old.engine.insert_job, NewJob("foreign", "default", args)).id
    with pytest.raises(InvalidPayload, match=rf"args of jobs \(id {job}\) {reason}, which PostgreSQL cannot store"):
        move(old, new)
    assert thaw_store(old.engine)
    assert old.jobs.delete(job) == 1
    move(old, new)
