"""5. Crashes are noticed in seconds: jobs return, a killer is stopped, an orderly shutdown costs no attempt."""

import time
from typing import Any

import pytest

from tests.behaviour.support import url_of, wait_until
from tests.faults.program import Program
from turnspit import JobContext, JobDead, Turnspit

# At once: what several threads print may share a line.
WORKER = """
import os, sys
from turnspit import Turnspit
app = Turnspit(sys.argv[1])
@app.task
def deadly() -> None:
    os.write(1, b"killing\\n")
    os.kill(os.getpid(), 9)
@app.task
def waiting() -> None:
    os.write(1, b"waiting\\n")
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
        # A lease runs out, and its finder must have held its own for as long: two leases, whatever their length.
        assert job.get_result(timeout=10) == "done"
    assert [attempt.outcome for attempt in job.refresh().attempts] == ["crashed", "completed"]


def test_survivors_take_a_dead_workers_jobs_within_four_thirds_of_a_lease(
    shop: Turnspit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the default lease of 15 s: 20 s. It runs out, and somebody looks at least every sixth of it: after the
    second look at the latest they are taken, however slow the machine is.
    """
    lease, moments = 3.0, {"find_duties": [], "rescue_jobs": []}

    def watch(name: str) -> None:
        verb = getattr(shop.engine, name)

        def watched(*args: Any) -> Any:
            moments[name].append(time.time())  # before the database says what there is; it is on this machine
            return verb(*args)

        monkeypatch.setattr(shop.engine, name, watched)

    job = shop.tasks["waiting"].using(queue="mail").enqueue()
    with shop.worker(queues=["other"], lease=lease) as survivor:
        wait_until(lambda: survivor._worker.registration.may_rescue, "a survivor that may rescue")
        watch("find_duties")
        watch("rescue_jobs")
        with worker(shop, lease=lease) as victim:
            victim.wait_for("waiting")
            victim.kill()
            killed = time.time()
        wait_until(lambda: job.refresh().state == "ready", "rescued")
        [dead] = [each for each in shop.engine.read(shop.engine.list_workers) if each.pid == victim.pid]
        assert survivor._worker.services["lookout"].duty._interval() <= lease / 6
    expired = dead.expires_at / 1_000_000
    assert expired <= killed + lease
    taken = min(moment for moment in moments["rescue_jobs"] if moment > expired)
    assert sum(expired < moment < taken for moment in moments["find_duties"]) <= 2
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
