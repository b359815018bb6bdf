"""What if the system has no more threads, as at a container's limit of processes?"""

import threading
from collections.abc import Iterator

import pytest

from tests.behaviour.support import DEADLINE, Gate, wait_until
from turnspit import Batch, JobCancelled, Retry, Turnspit
from turnspit._runtime.worker import threads


class Limit:
    """How many threads for jobs can be started."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.refused = threading.Event()


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Limit]:
    """None can be started, until the test lets them."""
    monkeypatch.setattr(threads, "_AGAIN", 0.02)
    limit, start = Limit(0), threading.Thread.start

    def start_if_allowed(thread: threading.Thread) -> None:
        if thread.name.startswith("turnspit-job"):
            if not limit.left:
                limit.refused.set()
                raise RuntimeError("can't start new thread")
            limit.left -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_if_allowed)
    yield limit
    limit.left = 100


def test_a_job_for_which_no_thread_can_be_started_waits_for_one_and_runs_once(app: Turnspit, limit: Limit) -> None:
    gate, ran = Gate(), []

    @app.task
    def holds() -> None:
        gate.pass_through()

    @app.task(retry=Retry(attempts=1))
    def task(number: int) -> None:
        ran.append(number)

    limit.left = 1
    with app.worker(concurrency=4):
        first = holds.enqueue()
        gate.wait_for()
        jobs = [task.enqueue(number) for number in range(2)]
        assert limit.refused.wait(DEADLINE)
        gate.open()
        for job in (first, *jobs):
            job.get_result(DEADLINE)
    assert sorted(ran) == [0, 1]


@pytest.mark.parametrize("kind", ["task", "batch"])
def test_the_first_one_begins_when_a_thread_can_be_started_again(app: Turnspit, limit: Limit, kind: str) -> None:
    @app.task(retry=Retry(attempts=1))
    def task(number: int) -> None:
        """Nothing to do."""

    @app.batch_task(size=1, retry=Retry(attempts=1))
    def batch(items: Batch[int]) -> None:
        """Nothing to do."""

    with app.worker(concurrency=1):
        job = app.tasks[kind].enqueue(1)
        assert limit.refused.wait(DEADLINE)
        limit.left = 1
        job.get_result(DEADLINE)


def test_one_that_is_cancelled_while_it_waits_for_a_thread_does_not_run(app: Turnspit, limit: Limit) -> None:
    ran = []

    @app.task
    def task(number: int) -> int:
        ran.append(number)
        return number

    with app.worker(concurrency=2):
        job = task.enqueue(1)
        assert limit.refused.wait(DEADLINE)
        app.jobs.cancel(job.id)
        with pytest.raises(JobCancelled):
            job.get_result(DEADLINE)
        limit.left = 1
        assert task.enqueue(2).get_result(DEADLINE) == 2
    assert ran == [2]


@pytest.mark.parametrize("kind", ["task", "batch"])
def test_its_worker_stops_and_hands_it_back(app: Turnspit, limit: Limit, kind: str) -> None:
    @app.task
    def task(number: int) -> None:
        raise AssertionError

    @app.batch_task(size=1)
    def batch(items: Batch[int]) -> None:
        raise AssertionError

    with app.worker(concurrency=1, grace=0):
        job = app.tasks[kind].enqueue(1)
        assert limit.refused.wait(DEADLINE)
    wait_until(lambda: job.refresh().state == "ready", "its return")
    assert (job.attempt, job.attempts) == (0, ())
