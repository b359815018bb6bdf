"""``kill -9`` at every point of a job's life, and in the middle of writing."""

from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.support import wait_until
from tests.faults.conftest import Ledger
from tests.faults.program import PATIENCE, Program, lock_held, release
from turnspit import Turnspit
from turnspit.states import JobState


def finish_all(shop: Turnspit, survivor: Any, jobs: list[Any]) -> None:
    with survivor:
        for job in jobs:
            assert job.get_result(timeout=PATIENCE) == job.id


@pytest.mark.parametrize("stage", ["claimed", "inside", "finished"])
def test_the_jobs_of_a_killed_worker_are_finished_by_another(
    shop: Turnspit, url: str, ledger: Ledger, folder: Path, survivor: Any, stage: str
) -> None:
    """Killed after the claim, inside the handler, or before the acknowledgement."""
    go = folder / "go"
    if stage != "inside":
        go.touch()
    jobs = [shop.tasks["note"].enqueue(str(go)) for _ in range(3)]
    with Program.of("worker", url, ledger.path, stage, 2) as victim:
        for _ in range(2):
            victim.wait_for(stage)
        victim.kill()
    go.touch()
    finish_all(shop, survivor, jobs)
    done = ledger.rows("done")
    assert {job for job, _ in done} == {job.id for job in jobs}
    # What was not done before the kill was done once; what was done but not acknowledged, once more.
    assert len(done) == 3 + (2 if stage == "finished" else 0)
    for job in jobs:
        outcomes = [attempt.outcome for attempt in job.refresh().attempts]
        assert outcomes in (["crashed", "completed"], ["completed"])
    crashed = [job for job in jobs if job.crashes]
    assert len(crashed) == 2
    assert {attempt.number for job in crashed for attempt in job.attempts} == {1}, "a crash costs no attempt"


def test_a_worker_killed_between_the_effect_and_its_acknowledgement(
    shop: Turnspit, url: str, path: Path, ledger: Ledger, folder: Path, survivor: Any
) -> None:
    """The effect is there, the store could not be told: the job runs again, under the same id."""
    go = folder / "go"
    job = shop.tasks["note"].enqueue(str(go))
    with Program.of("worker", url, ledger.path) as victim:
        victim.wait_for("inside")
        with lock_held(path) as holder:
            go.touch()
            wait_until(lambda: ledger.rows("done"), "done")
            victim.kill()
            release(holder)
    assert job.refresh().state is JobState.RUNNING
    finish_all(shop, survivor, [job])
    assert ledger.rows("done") == [(job.id, 1), (job.id, 1)]
    assert job.refresh().crashes == 1


def test_jobs_accepted_by_a_producer_that_is_killed_survive(shop: Turnspit, url: str, ledger: Ledger) -> None:
    """In the middle of writing groups: whatever was acknowledged is there."""
    with Program.of("producer", url, ledger.path, 100_000) as producer:
        producer.wait_for("ready")
        producer.say("go")
        for _ in range(150):
            producer.wait_for("accepted")
        producer.kill()
        said = producer.rest().splitlines()
    accepted = {int(line.split()[1]) for line in said if line.startswith("accepted ") and line.split()[1:]}
    stored = {job.id for page in _pages(shop) for job in page}
    assert len(accepted) >= 150
    # The kill may have cut the last line short.
    assert accepted - {max(accepted)} <= stored
    assert len(stored) == max(stored), "no id was given to two"
    assert shop.tasks["quick"].enqueue(0).id == max(stored) + 1
    assert shop.engine.diagnose()
    assert all(is_well for _, is_well, _ in shop.engine.diagnose())


def _pages(shop: Turnspit) -> Any:
    after = None
    while page := shop.jobs.list(limit=1000, after=after):
        yield page
        after = page.next
        if after is None:
            return


def test_a_worker_killed_again_and_again_loses_nothing(
    shop: Turnspit, url: str, ledger: Ledger, folder: Path, survivor: Any
) -> None:
    """Three workers in a row die with four jobs each."""
    go = folder / "go"
    jobs = [shop.tasks["note"].enqueue(str(go)) for _ in range(12)]
    for _ in range(3):
        with Program.of("worker", url, ledger.path, "", 4) as victim:
            for _ in range(4):
                victim.wait_for("inside")
            victim.kill()
    go.touch()
    finish_all(shop, survivor, jobs)
    done = ledger.rows("done")
    assert sorted(job for job, _ in done) == [job.id for job in jobs]
    assert shop.jobs.count(state="completed") == 12
