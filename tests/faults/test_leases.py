"""What a lease protects from, and what a worker without one may do: real processes, both engines."""

import signal
from collections import Counter

from soak.ledger import entries

from tests.behaviour.support import wait_until
from tests.faults.points import LONG_LEASE
from tests.faults.scene import Scene


def test_a_handler_that_blocks_the_loop_for_three_leases_loses_none(scene: Scene) -> None:
    """The lease is renewed in a thread of its own, although another worker looks for dead ones all the time."""
    scene.enqueue("quick", 1)
    with scene.victim("blocks the loop", 1, LONG_LEASE) as blocked:
        wait_until(lambda: scene.written("begun"), "begun")
        with scene.survivor():
            wait_until(lambda: scene.store.unfinished() == 0, "everything ended")
        assert scene.written("worker", str(blocked.pid)) == 1, "it was not declared dead"
        blocked.signal(signal.SIGTERM)
        blocked.end()
    proof = scene.finish()
    assert proof.figures["completed"] == proof.figures["runs"] == 1
    assert proof.figures["claims rescued from dead workers"] == 0


def test_a_worker_that_cannot_renew_starts_nothing(scene: Scene) -> None:
    """Others may be about to take its jobs: it must not begin one."""
    with scene.victim("never renews") as lapsed:
        lapsed.wait_for("started")
        wait_until(lambda: scene.live_workers() == 0, "its lease has run out")
        scene.enqueue("quick", 20)
        scene.finish()
        where = Counter(entry[4] for entry in entries(scene.folder) if entry[0] == "begun")
    assert str(lapsed.pid) not in where
    assert where.total() == 20
