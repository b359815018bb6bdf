"""5. Crashes are noticed in seconds: jobs return, a killer is stopped, an orderly shutdown costs no attempt."""

import time

import pytest

from tests.behaviour.support import url_of
from tests.faults.program import Program, wait_until
from turnspit import JobContext, JobDead, Turnspit

WORKER = """
import os, sys
from turnspit import Turnspit
app = Turnspit(sys.argv[1])
@app.task
def deadly() -> None:
    print("killing", flush=True)
    os.kill(os.getpid(), 9)
@app.task
def waiting() -> None:
    print("waiting", flush=True)
    sys.stdin.readline()
lease = float(sys.argv[3])
app.run_worker(lease=lease, heartbeat=lease / 3, concurrency=2, grace=float(sys.argv[2]))
"""


def worker(app: Turnspit, grace: float = 5, lease: float = 0.6) -> Program:
    return Program("-c", WORKER, url_of(app), str(grace), str(lease))


@pytest.fixture
def shop(app: Turnspit) -> Turnspit:
    @app.task
    def deadly() -> str:
        return "not here"

    @app.task
    def waiting() -> str:
        return "done"

    return app


def test_crashes_are_noticed_in_seconds(shop: Turnspit) -> None:
    job = shop.tasks["waiting"].enqueue()
    with worker(shop) as victim:
        victim.wait_for("waiting")
        victim.kill()
    with shop.worker(lease=0.6, heartbeat=0.2):
        began = time.monotonic()
        assert job.get_result(timeout=10) == "done"
        # A lease runs out, and its finder must have held its own for as long: two leases, whatever their length.
        assert time.monotonic() - began < 4
    assert [attempt.outcome for attempt in job.refresh().attempts] == ["crashed", "completed"]


def test_survivors_take_a_dead_workers_jobs_within_four_thirds_of_a_lease(shop: Turnspit) -> None:
    """With the default lease of 15 s: 20 s. It runs out, and somebody looks at least every sixth of it."""
    lease = 3.0
    job = shop.tasks["waiting"].using(queue="mail").enqueue()
    with shop.worker(queues=["other"], lease=lease) as survivor:
        wait_until(lambda: survivor._worker.registration.may_rescue, "a survivor that may rescue")
        with worker(shop, lease=lease) as victim:
            victim.wait_for("waiting")
            victim.kill()
            killed = time.monotonic()
        wait_until(lambda: job.refresh().state == "ready", "rescued")
        assert time.monotonic() - killed < lease * 4 / 3
    assert (job.attempt, job.crashes) == (0, 1)


def test_a_job_that_keeps_killing_workers_is_stopped(shop: Turnspit) -> None:
    job = shop.tasks["deadly"].enqueue()
    with shop.worker(queues=["another"], lease=0.6, heartbeat=0.2):
        for crashes in range(1, 5):
            with worker(shop) as victim:
                victim.wait_for("killing")
                wait_until(lambda crashes=crashes: job.refresh().crashes == crashes, f"{crashes} crashes")
    assert job.state == "dead"
    assert [attempt.outcome for attempt in job.attempts] == ["crashed"] * 4
    with pytest.raises(JobDead, match="crashed its worker 3 times"):
        job.get_result(timeout=0)
    assert [group.count for group in shop.jobs.dead_groups()] == [1]


def test_an_orderly_shutdown_costs_no_attempt(app: Turnspit) -> None:
    """Neither those that wait in the worker nor those that it has to interrupt."""

    @app.task
    def long(job: JobContext) -> None:
        while not job.wait_cancelled(10):
            pass
        job.raise_if_cancelled()

    jobs = [long.enqueue() for _ in range(4)]
    with app.worker(concurrency=2, grace=0.05):
        wait_until(lambda: sum(job.refresh().state == "running" for job in jobs) >= 2, "two of them running")
    for job in jobs:
        job.refresh()
        assert (job.state, job.attempt, job.crashes, job.attempts) == ("ready", 0, 0, ())


def test_a_job_that_kills_workers_takes_no_other_job_along(shop: Turnspit) -> None:
    """They were claimed together each time. After the first crash they begin one by one, and only one is to blame."""
    deadly = shop.tasks["deadly"].enqueue()
    others = [shop.tasks["waiting"].enqueue() for _ in range(3)]
    with shop.worker(queues=["another"], lease=0.6, heartbeat=0.2):
        for crashes in range(1, 5):
            with worker(shop) as victim:
                victim.wait_for("killing")
                wait_until(lambda crashes=crashes: deadly.refresh().crashes == crashes, f"{crashes} crashes")
        assert deadly.state == "dead"
        assert all(other.refresh().crashes <= 1 for other in others)
    with shop.worker():
        assert [other.get_result(timeout=20) for other in others] == ["done"] * 3
