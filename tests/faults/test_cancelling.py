"""``app.jobs.cancel(id)`` from anywhere: the job stops in whatever process it runs, and stays stopped."""

import signal

from tests.behaviour.support import wait_until
from tests.faults.scene import Scene


def test_a_running_job_stops_in_another_process(scene: Scene) -> None:
    """How soon is the matter of its wake, which ``contract/test_control.py`` hears, and of the look behind it."""
    [job] = scene.enqueue("slow", seconds=60)
    with scene.victim("nowhere") as elsewhere:
        wait_until(lambda: scene.written("begun"), "begun")
        assert scene.app.jobs.cancel(job) == 1
        wait_until(lambda: scene.written("told", "cancelled"), "told")
        elsewhere.signal(signal.SIGTERM)
        elsewhere.end()
    assert scene.finish().figures["cancelled"] == 1


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
