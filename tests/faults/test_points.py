"""Real worker processes that die by SIGKILL at every point of a job's life, and what the survivors make of it.

The proof is the soak's: what the processes wrote down beside the store against what the store says.
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from soak.ledger import Ledger, entries
from soak.programs import write_down_ends
from soak.proof import Proof, prove
from soak.stores import Store
from soak.tasks import make_app

from tests.faults.points import HEARTBEAT, LEASE, POINTS
from tests.faults.program import PATIENCE, Program, wait_until
from turnspit import Turnspit


class Scene:
    """A store, an app on it in this process, and the ledger of everybody."""

    def __init__(self, url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.url, self.folder = url, folder
        self.ledger = Ledger(folder)
        write_down_ends(self.ledger, monkeypatch.setattr)
        self.app: Turnspit = make_app(url, self.ledger)
        self.app.migrate()
        self.store = Store(url)
        self.store.prepare()

    def enqueue(self, task: str, count: int = 1, delay: float = 0.0, **arguments: object) -> list[int]:
        jobs = [self.app.tasks[task].using(delay=delay).enqueue(**arguments).id for _ in range(count)]
        self.ledger.write_many("accepted", [(job, 0, "-") for job in jobs])
        return jobs

    def enqueue_some(self) -> list[int]:
        """Of several kinds and queues: 8 jobs."""
        return [*self.enqueue("quick", 4), *self.enqueue("charge", 2), *self.enqueue("flaky", 2, failures=1)]

    def victim(self, point: str, concurrency: int = 4) -> Program:
        return Program("-m", "tests.faults.points", self.url, str(self.folder), point, str(concurrency))

    def wait_death(self, victim: Program) -> None:
        assert victim.wait(PATIENCE) == -signal.SIGKILL, victim.rest()
        self.ledger.write("killed", detail=str(victim.pid))

    def finish(self) -> Proof:
        """A survivor works until nothing is left; what can be proven then."""
        with self.app.worker(lease=LEASE, heartbeat=HEARTBEAT, concurrency=4):
            wait_until(lambda: self.store.unfinished() == 0, f"everything ended: {list(self.store.finals())}")
        proof = prove(self.folder, self.store)
        assert proof.violations == {}, list(self.store.finals())
        return proof

    def written(self, what: str) -> int:
        return sum(entry[0] == what for entry in entries(self.folder))


@pytest.fixture
def scene(store_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    scene = Scene(store_url, folder, monkeypatch)
    yield scene
    scene.app.close()


IN_A_JOBS_LIFE = [
    "after the claim",
    "in the middle of a claim",
    "inside the handler",
    "before the acknowledgement",
    "in the middle of a batch",
    "at the end of a batch",
    "after the finish",
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
    with scene.victim(point) as worker:
        worker.wait_for("lost")
        wait_until(lambda: scene.store.unfinished() == 0, "everything ended")
        worker.signal(signal.SIGTERM)
        worker.end()
    proof = scene.finish()
    assert proof.figures["completed"] == proof.figures["runs"] == 4, "none ran twice"
    assert proof.figures["claims rescued from dead workers"] == 0
    assert proof.figures["late writes refused"] == 0


def test_every_point_is_tested() -> None:
    tested = {*IN_A_JOBS_LIFE, "in the middle of a return", "in the middle of a rescue", "late in a rescue"}
    tested |= {"in the middle of a promotion", "the claim's answer lost", "the finish's answer lost", "nowhere"}
    assert tested == set(POINTS)
