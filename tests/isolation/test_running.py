"""What a job in a process of its own can do, and how it ends."""

import logging
import os
import sqlite3
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE, wait_until
from tests.isolation import tasks
from turnspit import Blueprint, ConfigurationError, JobContext, JobDead, Retry, Turnspit
from turnspit._runtime.worker import processes
from turnspit.errors import ResultNotStored
from turnspit.testing import override


def test_a_job_has_all_of_its_context_in_another_process_that_stays_warm(
    app: Turnspit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOSED_MARK", str(tmp_path))
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    with app.worker(concurrency=2):
        jobs = []
        for _ in range(3):
            jobs.append(tasks.where.using(metadata={"a": 1}).enqueue(when=moment))
            jobs[-1].get_result(DEADLINE)
        assert tasks.double.enqueue(21).get_result(DEADLINE) == 42
    results = [job.get_result() for job in jobs]
    pid = results[0]["pid"]
    assert pid != os.getpid()
    expected = {"pid": pid, "thread": "_MainThread", "when": moment, "resource": pid, "same_job": True}
    assert results == [{**expected, "wrapped": f"wrapped {pid}"}] * 3
    job = jobs[0].refresh()
    assert (job.progress, job.progress_message) == (0.5, "half")
    assert [(line.level, line.message) for line in job.get_logs()] == [("warning", "a line")]
    # The worker's own lifespan has left its mark too; both were closed in order.
    assert {each.name for each in tmp_path.iterdir()} == {str(pid), str(os.getpid())}


def test_a_process_that_dies_fails_its_attempt_alone_and_is_replaced(app: Turnspit) -> None:
    expected = {
        "segfault": "its process died: SIGSEGV",
        "exit": "its process died: exit code 3",
        "kill": "its process died: SIGKILL, perhaps because memory ran out",
    }
    with app.worker(concurrency=1):
        jobs = {how: tasks.end.using(retry=Retry(attempts=1)).enqueue(how) for how in expected}
        assert tasks.end.enqueue("well").get_result(DEADLINE) == "well"
        for job in jobs.values():
            with pytest.raises(JobDead, match="ProcessDied: its process died: "):
                job.get_result(DEADLINE)
    assert {how: job.attempts[0].error_message for how, job in jobs.items()} == expected
    assert [job.crashes for job in jobs.values()] == [0, 0, 0]
    assert "ctypes.string_at(0)" in (jobs["segfault"].attempts[0].traceback or "")


@pytest.mark.on_sqlite
@pytest.mark.skipif(sys.platform == "win32", reason="no fork there")
@pytest.mark.parametrize("ends", [True, False])
def test_a_copy_that_a_task_has_forked_answers_no_job(app: Turnspit, ends: bool) -> None:
    """Each job behind it would get the answer of the one before."""
    with app.worker(concurrency=1):
        assert tasks.forks.enqueue(ends).get_result(DEADLINE) > 1
        doubles = [tasks.double.enqueue(number) for number in range(3)]
        assert [job.get_result(DEADLINE) for job in doubles] == [0, 2, 4]


def test_what_a_job_has_left_behind_in_its_process_reports_for_no_other_job(app: Turnspit) -> None:
    with app.worker(concurrency=1):
        tasks.leaves_a_thread.enqueue().get_result(DEADLINE)
        job = tasks.tells_the_thread.using(retry=Retry(attempts=1)).enqueue()
        assert job.get_result(DEADLINE) == "well"
    assert (job.refresh().progress, job.get_logs()) == (None, [])


@pytest.mark.skipif(sys.platform == "win32", reason="no fork there")
def test_a_task_that_waits_for_all_its_children_waits_for_nobody_elses(app: Turnspit) -> None:
    with app.worker(concurrency=1):
        assert tasks.waits_for_all_children.enqueue().get_result(DEADLINE) == 2


def test_exceptions_and_outcomes_come_back_as_what_they_are(app: Turnspit) -> None:
    with app.worker(concurrency=1):
        jobs = {how: tasks.end.enqueue(how) for how in ("sys.exit", "refused", "snooze", "cancel", "give up")}
        late, never = tasks.end.enqueue("retry after"), tasks.refused.enqueue()
        with pytest.raises(JobDead, match="Refused: refused with 7"):
            never.get_result(DEADLINE)
        wait_until(lambda: late.refresh().state == "scheduled", "the retry")
        wait_until(lambda: jobs["refused"].refresh().state == "dead", "the second attempt")
    states = {how: (str(job.refresh().state), job.attempt) for how, job in jobs.items()}
    assert states == {
        "sys.exit": ("dead", 2),
        "refused": ("dead", 2),
        "snooze": ("scheduled", 0),
        "cancel": ("cancelled", 1),
        "give up": ("dead", 1),
    }
    assert never.refresh().attempt == 1  # never_on= knows the type
    assert 'raise Refused(7, "no")' in (never.attempts[0].traceback or "")
    assert jobs["sys.exit"].attempts[0].error_type == "SystemExit"


@pytest.mark.on_sqlite
def test_a_result_is_made_text_once(app: Turnspit) -> None:
    with app.worker(concurrency=1):
        assert tasks.price.enqueue().get_result(DEADLINE) == "5 EUR"


@pytest.mark.on_sqlite
def test_a_result_is_made_text_once_also_where_middleware_sees_it(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def mark(job: JobContext, call_next: Callable[[JobContext], Any]) -> Any:
        value = await call_next(job)
        if isinstance(value, dict):
            value["thread"] = "marked"
        return value

    monkeypatch.setattr(app, "_middleware", [mark])
    with app.worker(concurrency=1):
        assert tasks.price.enqueue().get_result(DEADLINE) == "5 EUR"
        assert tasks.where.enqueue(datetime.now(UTC)).get_result(DEADLINE)["thread"] == "marked"


@pytest.mark.on_sqlite
def test_a_result_that_cannot_be_stored_is_said_and_the_job_is_completed(app: Turnspit) -> None:
    with app.worker(concurrency=1):
        job = tasks.unstorable.enqueue()
        with pytest.raises(ResultNotStored):
            job.get_result(DEADLINE)
    assert "cannot be stored" in job.get_logs()[0].message


@pytest.mark.on_sqlite
def test_finish_is_the_tasks_own_transaction(app: Turnspit, folder: Path) -> None:
    file = str(folder / "jobs.db")
    with app.worker(concurrency=1):
        done, undone = tasks.charge.enqueue(file, True), tasks.charge.enqueue(file, False)
        assert done.get_result(DEADLINE) == "charged"
        with pytest.raises(JobDead, match="FinishNotCommitted"):
            undone.get_result(DEADLINE)
    with sqlite3.connect(file) as connection:
        assert connection.execute("select * from payments").fetchall() == [(done.id,)]
    connection.close()


@pytest.mark.on_sqlite
def test_what_it_prints_and_logs_goes_to_the_workers_error_output(
    app: Turnspit, capfd: pytest.CaptureFixture[str]
) -> None:
    with app.worker(concurrency=1):
        tasks.say.enqueue().get_result(DEADLINE)
    captured = capfd.readouterr().err
    assert "printed in a process\n" in captured
    assert "WARNING shop: logged in a process" in captured


@pytest.mark.on_sqlite
def test_a_task_that_no_process_can_find_is_refused_where_it_is_declared(app: Turnspit) -> None:
    def nested() -> None: ...

    async def of_a_loop() -> None: ...

    blueprint = Blueprint("other")
    with pytest.raises(ConfigurationError, match=r"task other\.nested is declared inside a function"):
        blueprint.task(isolate=True)(nested)
    with pytest.raises(ConfigurationError, match=r"task other\.of_a_loop is async: isolate=True is for a plain def"):
        blueprint.task(isolate=True)(of_a_loop)


@pytest.mark.on_sqlite
def test_a_worker_whose_app_is_in_no_module_does_not_start(store_url: str) -> None:
    with Turnspit(store_url) as nowhere:
        nowhere.task(isolate=True)(tasks.end.function)
        with pytest.raises(ConfigurationError, match="task end has isolate=True, but another process cannot find it"):
            nowhere.worker().__enter__()


@pytest.mark.on_sqlite
def test_an_app_that_a_process_cannot_import_fails_the_attempt_and_says_why(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(processes._preparations, app, ["no.such:module"])
    with caplog.at_level(logging.ERROR, "turnspit"), app.worker(concurrency=1):
        job = tasks.end.enqueue("well")
        with pytest.raises(JobDead, match=r"ProcessDied: its process could not start: ModuleNotFoundError: No module"):
            job.get_result(DEADLINE)


def test_a_plain_call_and_the_test_kit_run_it_here() -> None:
    with override(tasks.app) as t:
        job = tasks.where.using(metadata={"a": 1}).enqueue(when=datetime(2026, 1, 2, tzinfo=UTC))
        t.drain()
        assert job.get_result()["pid"] == os.getpid()
    assert tasks.double(4) == 8


def test_a_worker_that_a_job_starts_serves_others_or_is_refused_where_it_would_wait_for_that_job(app: Turnspit) -> None:
    with app.worker(concurrency=1, queues=["default"]):
        refused = tasks.start_worker.enqueue("until_empty").get_result(DEADLINE)
        no_program = tasks.start_worker.enqueue("run_worker").get_result(DEADLINE)
        assert tasks.start_worker.enqueue("beside").get_result(DEADLINE) == "done"
    assert "starts a worker with until_empty=True, which would wait for the end of that job too" in refused
    assert "outside a job" in no_program
