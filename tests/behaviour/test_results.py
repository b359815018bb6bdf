"""What a job leaves behind."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.behaviour.support import DEADLINE, Gate, url_of
from turnspit import JobDead, JobNotFound, ResultTimeout, Retry, Turnspit
from turnspit.errors import ResultNotStored
from turnspit.testing import TestStore


@pytest.mark.parametrize(
    "value", [None, 0, "", [], {"a": [1, 2.5, None, True]}, "Ärger 🔥", UUID(int=7), 2**80], ids=repr
)
def test_a_result_comes_back(t: TestStore, value: Any) -> None:
    @t.app.task
    async def echo() -> Any:
        return value

    job = echo.enqueue()
    t.run_one(job)
    assert job.get_result() == (str(value) if isinstance(value, UUID) else value)


def test_a_result_that_cannot_be_stored_completes_the_job_with_a_note(t: TestStore) -> None:
    ran = []

    @t.app.task(retry=Retry(attempts=5, delay=0))
    def task() -> object:
        ran.append(True)
        return object()

    job = task.enqueue()
    t.drain(recursive=True)
    assert (job.refresh().state, job.attempt, ran) == ("completed", 1, [True])
    with pytest.raises(ResultNotStored) as raised:
        job.get_result()
    assert str(raised.value) == (
        f"job {job.id} (task) completed, but its result was not kept: the result of task cannot be stored: "
        "Unable to serialize unknown type: <class 'object'>"
    )
    assert [(line.level, line.message) for line in job.get_logs()] == [("error", job.reason)]


def test_a_result_over_the_limit_is_not_kept(folder: Path) -> None:
    with Turnspit(f"sqlite:///{folder}/small.db", max_result=10) as app, app.worker():

        @app.task
        def task(size: int) -> str:
            return "x" * size

        assert task.enqueue(8).get_result(DEADLINE) == "x" * 8
        with pytest.raises(ResultNotStored, match="the result of task cannot be stored: 11 bytes of JSON are over the"):
            task.enqueue(9).get_result(DEADLINE)


def test_a_task_may_keep_no_result(t: TestStore) -> None:
    @t.app.task(keep_result=False)
    def task() -> object:
        return object()

    job = task.enqueue()
    t.run_one(job)
    with pytest.raises(ResultNotStored, match=rf"^job {job.id} \(task\) completed, but its result was not kept$"):
        job.get_result()


def test_a_task_may_keep_its_result_for_a_while(t: TestStore) -> None:
    @t.app.task(keep_result=timedelta(minutes=5))
    def task() -> str:
        return "short-lived"

    job = task.enqueue()
    t.run_one(job)
    t.advance(299)
    t.maintain()
    assert job.get_result() == "short-lived"
    t.advance(2)
    t.maintain()
    with pytest.raises(ResultNotStored, match=r"its result was not kept: its result was kept for a limited time$"):
        job.get_result()
    assert job.refresh().state == "completed"


def test_history_is_kept_for_its_time_and_dead_letters_for_good(t: TestStore) -> None:
    @t.app.task(retry=Retry(attempts=1))
    def task(fail: bool) -> None:
        if fail:
            raise ValueError

    completed, dead = task.enqueue(False), task.enqueue(True)
    t.drain()
    t.advance(timedelta(days=7, seconds=-1))
    t.maintain()
    assert completed.refresh().state == "completed"
    t.advance(2)
    t.maintain()
    with pytest.raises(JobNotFound) as raised:
        completed.refresh()
    assert str(raised.value) == str(JobNotFound.of(completed.id))
    t.advance(timedelta(days=1000))
    t.maintain()
    assert dead.refresh().state == "dead"


def test_a_waiting_caller_hears_of_the_end_at_once(app: Turnspit) -> None:
    gate = Gate()

    @app.task
    def task() -> str:
        gate.pass_through()
        return "done"

    with app.worker():
        job = task.enqueue()
        gate.wait_for()
        gate.open()
        assert job.get_result(DEADLINE) == "done"


WAITING_PROCESS = """
import sys
from turnspit import Turnspit

app = Turnspit(sys.argv[1])
job = app.jobs.get(int(sys.argv[2]))
print("waiting", flush=True)
try:
    print(repr(job.get_result(timeout=float(sys.argv[3]))), flush=True)
except Exception as error:
    print(f"{type(error).__name__}: {error}", flush=True)
"""


Waiter = subprocess.Popen[str]


@pytest.fixture
def wait_elsewhere(app: Turnspit) -> Iterator[Callable[[int, float], Waiter]]:
    """Starts processes that wait for a job, and ends those that a test left."""
    started: list[Waiter] = []

    def start(job: int, timeout: float) -> Waiter:
        command = [sys.executable, "-c", WAITING_PROCESS, url_of(app), str(job), str(timeout)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        started.append(process)
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said == "waiting\n", said + process.stdout.read()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_another_process_can_wait_for_the_result(app: Turnspit, wait_elsewhere: Callable[[int, float], Waiter]) -> None:
    @app.task
    def task(fail: bool) -> dict[str, int]:
        if fail:
            raise ValueError("card declined")
        return {"a": 1}

    jobs = [task.enqueue(False), task.using(retry=Retry(attempts=1)).enqueue(True)]
    impatient = task.using(delay=3600).enqueue(False)
    processes = [wait_elsewhere(job.id, DEADLINE) for job in jobs]
    processes.append(wait_elsewhere(impatient.id, 0.05))
    with app.worker():
        answers = [process.communicate(timeout=DEADLINE)[0] for process in processes]
    assert answers == [
        "{'a': 1}\n",
        f"JobDead: job {jobs[1].id} (task) is dead: ValueError: card declined\n",
        (
            f"ResultTimeout: job {impatient.id} (task) is still scheduled after 0.05 s; "
            f"it is due at {impatient.run_at:%Y-%m-%d %H:%M:%S} UTC\n"
        ),
    ]


def test_errors_of_get_result_are_what_python_calls_them() -> None:
    assert issubclass(ResultTimeout, TimeoutError)
    assert issubclass(JobNotFound, LookupError)
    assert issubclass(JobDead, Exception)
