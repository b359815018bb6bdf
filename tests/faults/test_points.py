"""Real worker processes that die by SIGKILL at every point of a job's life, and what the survivors make of it.

The proof is the soak's: what the processes wrote down beside the store against what the store says.
"""

import signal

import pytest

from tests.behaviour.support import wait_until
from tests.faults.points import LONG_LEASE, POINTS
from tests.faults.scene import Scene

IN_A_JOBS_LIFE = [
    "after the claim",
    "in the middle of a claim",
    "inside the handler",
    "before the acknowledgement",
    "in the middle of a portion",
    "at the end of a portion",
    "after the finish",
]

AT_ONCE = ["killed after a finish at once", "the answer of a finish at once lost"]

IN_A_FAN_IN = [
    "when a fan-in is settled",
    "when a fan-in is counted",
    "when a fan-in is released",
    "when a workflow is counted",
]


@pytest.mark.parametrize("point", IN_A_JOBS_LIFE)
def test_a_worker_killed_in_a_jobs_life(scene: Scene, point: str) -> None:
    scene.enqueue_some()
    with scene.victim(point) as victim:
        scene.wait_death(victim)
    proof = scene.finish()
    assert proof.figures["completed"] == proof.figures["accepted"] == 8
    crashed = proof.figures["claims rescued from dead workers"]
    assert (crashed > 0) == (point != "in the middle of a claim"), "what was not committed did not happen"


def test_a_worker_killed_while_it_hands_back(scene: Scene) -> None:
    """Neither a job that it was interrupted in nor one that waited behind is lost, and the return is whole or not."""
    scene.enqueue("slow", 2, seconds=0.5)
    with scene.victim("in the middle of a return", 2) as victim:
        wait_until(lambda: scene.written("begun") == 2, "two begun")
        victim.signal(signal.SIGTERM)
        scene.wait_death(victim)
    proof = scene.finish()
    assert proof.figures["completed"] == 2
    assert proof.figures["claims rescued from dead workers"] == 2


@pytest.mark.parametrize("point", ["in the middle of a rescue", "late in a rescue"])
def test_a_worker_killed_while_it_rescues(scene: Scene, point: str) -> None:
    """The rescue is one transaction: another does the whole of it, and no crash is counted twice."""
    scene.enqueue("quick", 3)
    with scene.victim("inside the handler", 1) as first:
        scene.wait_death(first)
    with scene.victim(point) as rescuer:
        scene.wait_death(rescuer)
    proof = scene.finish()
    assert proof.figures["completed"] == 3
    assert proof.figures["claims rescued from dead workers"] >= 1


def test_a_worker_killed_while_it_promotes(scene: Scene) -> None:
    scene.enqueue("quick", 3, delay=0.1)
    with scene.victim("in the middle of a promotion") as victim:
        scene.wait_death(victim)
    assert {row[3] for row in scene.store.finals()} == {"scheduled"}
    proof = scene.finish()
    assert proof.figures["completed"] == proof.figures["runs"] == 3


@pytest.mark.parametrize("point", ["the claim's answer lost", "the finish's answer lost"])
def test_an_answer_that_is_lost_costs_nothing(scene: Scene, point: str) -> None:
    """The worker goes on: claims it never heard of go back at its heartbeat, a finish that it sends again is found."""
    scene.enqueue("quick", 4)
    with scene.victim(point, lease=LONG_LEASE) as worker:
        worker.wait_for("lost")
        wait_until(lambda: scene.store.unfinished() == 0, "everything ended")
        worker.signal(signal.SIGTERM)
        worker.end()
    proof = scene.finish()
    assert proof.figures["completed"] == proof.figures["runs"] == 4, "none ran twice"
    assert proof.figures["claims rescued from dead workers"] == 0
    assert proof.figures["late writes refused"] == 0


@pytest.mark.parametrize("point", AT_ONCE)
def test_a_finish_at_once(scene: Scene, point: str) -> None:
    """Who stores without claiming does it by one statement, and asks the longer way where no answer came."""
    with scene.victim(point) as worker:
        worker.wait_for("started")
        while worker.is_running and "lost" not in worker.so_far():  # a claim may ride with an end
            scene.enqueue("quick")
            wait_until(lambda: scene.store.unfinished() == 0 or not worker.is_running, "its end")
        if "killed" in point:
            scene.wait_death(worker)
        else:
            wait_until(lambda: scene.store.unfinished() == 0, "everything ended")
            worker.signal(signal.SIGTERM)
            worker.end()
    proof = scene.finish()
    assert proof.figures["completed"] == proof.figures["runs"] == proof.figures["accepted"], "none ran twice"
    assert proof.figures["late writes refused"] == 0


@pytest.mark.parametrize("point", IN_A_FAN_IN)
def test_a_worker_killed_while_a_fan_in_is_counted(scene: Scene, point: str) -> None:
    """The end of a job and what follows from it are one transaction: nothing counts twice, nobody waits for good."""
    quick = scene.app.tasks["quick"]
    with scene.app.workflow("fan-in") as flow:
        parts = flow.add_many(quick.new() for _ in range(3))
        flow.add(quick.new(), after=[parts])
    jobs = scene.app.workflows.get(flow.id).jobs
    scene.ledger.write_many("accepted", [(job.id, 0, "-") for job in jobs])
    with scene.victim(point, 1) as victim:
        scene.wait_death(victim)
    proof = scene.finish()
    ended = scene.app.workflows.get(flow.id)
    assert (ended.state, ended.completed, proof.figures["completed"]) == ("completed", 4, 4)
    assert [job.waits_for for job in ended.jobs] == [0, 0, 0, 0]


def test_every_point_is_tested() -> None:
    tested = {
        *IN_A_JOBS_LIFE,
        *IN_A_FAN_IN,
        *AT_ONCE,
        "in the middle of a return",
        "in the middle of a rescue",
        "late in a rescue",
    }
    tested |= {"never renews", "blocks the loop"}  # in test_leases
    tested |= {"in the middle of a promotion", "the claim's answer lost", "the finish's answer lost", "nowhere"}
    assert tested == set(POINTS)
