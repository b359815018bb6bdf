"""``app.jobs.cancel(id)`` from anywhere: the job stops in whatever process it runs, and stays stopped."""

import signal
import time

from tests.faults.program import wait_until
from tests.faults.scene import Scene


def test_a_running_job_stops_within_a_second_in_another_process(scene: Scene) -> None:
    took = []
    with scene.victim("nowhere") as elsewhere:
        for number in range(1, 4):
            [job] = scene.enqueue("slow", seconds=60)
            wait_until(lambda number=number: scene.written("begun") == number, "begun")
            asked = time.monotonic()
            assert scene.app.jobs.cancel(job) == 1
            wait_until(lambda number=number: scene.written("told", "cancelled") == number, "told")
            took.append(time.monotonic() - asked)
        elsewhere.signal(signal.SIGTERM)
        elsewhere.end()
    assert min(took) < 1, "the machine may be busy now and then"
    assert scene.finish().figures["cancelled"] == 3


def test_a_cancellation_outlives_its_worker(scene: Scene) -> None:
    """It was asked of a process that stands still, and dies before it could hear."""
    [job] = scene.enqueue("slow", seconds=60)
    with scene.victim("nowhere") as elsewhere:
        wait_until(lambda: scene.written("begun"), "begun")
        scene.ledger.write("killed", detail=str(elsewhere.pid))
        scene.suspend(elsewhere)
        assert scene.app.jobs.cancel(job) == 1
        elsewhere.kill()
    proof = scene.finish()
    assert (proof.figures["cancelled"], proof.figures["runs"]) == (1, 1), "it did not begin again"
