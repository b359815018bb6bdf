"""7. A limit is a limit of the fleet. Rate, concurrency and uniqueness hold across all workers and machines.

A thousand concurrent enqueues of one key are in tests/contract/test_uniqueness.py, random operations on limits in
tests/model.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.programs import running
from tests.promises.limited_program import ALLOWED, AT_ONCE, PER, app, call
from turnspit import Turnspit, Unique

ALLOWANCE = 0.05
"""A job begins at most this long after its admission, which is what the limit counts."""
JOBS, REPLAYED = 24, 8


@pytest.fixture
def limited(store_url: str) -> Iterator[str]:
    """The program's app, in this process too."""
    app.configure(store_url)
    yield store_url
    app.close()


@pytest.mark.timeout(120)  # four processes start, and a lease runs out
def test_four_processes_keep_a_limit_through_pause_kill_retry_and_replay(limited: str) -> None:
    app.enqueue_many(call.new(number) for number in range(JOBS))
    command = (sys.executable, "-m", "tests.promises.limited_program", limited)
    with ExitStack() as stack:
        workers = [stack.enter_context(running(*command, stdout=subprocess.PIPE)) for _ in range(4)]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "started\n"
        wait_for(completed=3)
        app.queues.pause("default")
        workers[0].kill()
        workers[0].wait()
        killed = time.time()
        time.sleep(1.5 * PER)  # in which a bucket would fill
        app.queues.resume("default")
        wait_for(completed=JOBS)
        for job in list(app.jobs.list(limit=REPLAYED)):
            app.jobs.replay(job.id)
        wait_for(completed=JOBS)
    begun, ended = recorded("begun"), recorded("ended")
    all_begun = begun + recorded("alone")
    ended += [killed] * (len(all_begun) - len(ended))  # what it did not end, it ended in
    assert len(all_begun) >= JOBS + REPLAYED + JOBS // 7
    admitted = sorted(each.started_at.timestamp() for job in app.jobs.list(limit=100) for each in job.attempts)
    assert shortest(admitted) >= PER, "a window held more admissions than the limit"
    assert shortest(begun) > PER - ALLOWANCE, "a window held more starts than the limit"
    assert most_at_once(all_begun, ended) <= AT_ONCE


def wait_for(*, completed: int) -> None:
    until = time.monotonic() + 50
    while app.jobs.count(state="completed") < completed and time.monotonic() < until:
        time.sleep(0.02)
    left = [(job, job.worker, job.reason) for job in app.jobs.list(limit=100) if job.state != "completed"]
    assert app.jobs.count(state="completed") >= completed, (left, app.workers.list(), app.limits.list())


def shortest(moments: list[float]) -> float:
    """The shortest window, in seconds, that holds one more than the limit."""
    return min(late - early for early, late in zip(moments, moments[ALLOWED:], strict=False))


def recorded(what: str) -> list[float]:
    """When handlers were begun or ended, in seconds."""
    lines = [line.message.split() for job in app.jobs.list(limit=100) for line in job.get_logs()]
    return sorted(float(line[1]) for line in lines if line[0] == what)


def most_at_once(begun: list[float], ended: list[float]) -> int:
    now, most = 0, 0
    for _, change in sorted([(at, 1) for at in begun] + [(at, -1) for at in ended]):
        now += change
        most = max(most, now)
    return most


def test_one_key_enqueued_at_once_gives_one_job(store_url: str) -> None:
    """Of two apps, as of two processes."""
    made: list[bool] = []
    ready = threading.Barrier(4)

    def enqueue() -> None:
        with Turnspit(store_url) as own:

            @own.task(unique=Unique(key=["order_id"]))
            def charge(order_id: int) -> None: ...

            ready.wait(30)
            made.extend(charge.enqueue(order_id=7).created for _ in range(25))

    threads = [threading.Thread(target=enqueue) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), sum(made)) == (100, 1)
