"""Processes that stand still for longer than their lease, and then go on as if nothing had happened."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.behaviour.support import wait_until
from tests.faults.points import LONG_LEASE
from tests.faults.program import Program
from tests.faults.scene import Scene
from turnspit.engines.sqlite.turnstile import Turnstile


@contextlib.contextmanager
def nobody_writes(scene: Scene) -> Iterator[None]:
    """A process that is stopped while it writes to a file would keep everybody out for as long."""
    if scene.url.startswith("sqlite"):
        path = Path(f"{scene.url.removeprefix('sqlite:///')}-turnspit") / "turnstile"
        with contextlib.closing(Turnstile(path)) as turnstile, turnstile:
            yield
    else:
        yield


def suspend(scene: Scene, *sleepers: Program) -> None:
    with nobody_writes(scene):
        for sleeper in sleepers:
            sleeper.suspend()


def suspend_alone(scene: Scene, sleeper: Program) -> None:
    scene.ledger.write("suspended", detail=str(sleeper.pid))
    suspend(scene, sleeper)


def crashed(scene: Scene) -> int:
    return sum(row[2] == "crashed" for row in scene.store.attempts())


def test_a_suspended_worker_notices_tells_its_handler_and_comes_back(scene: Scene) -> None:
    """It was declared dead: it says so to the handler before that writes, and begins anew under another id."""
    scene.enqueue("slow", seconds=1.0)
    with scene.victim("nowhere") as sleeper:
        wait_until(lambda: scene.written("begun"), "begun")
        suspend_alone(scene, sleeper)
        with scene.survivor():
            wait_until(lambda: crashed(scene), "rescued")
            sleeper.signal(signal.SIGCONT)
            wait_until(lambda: scene.written("told", "lost"), "told")
            wait_until(lambda: scene.written("worker", str(sleeper.pid)) == 2, "back under a new id")
            wait_until(lambda: scene.store.unfinished() == 0, "everything ended")
        assert scene.written("refused") == 0, "it noticed before it wrote"
        scene.enqueue("quick")
        wait_until(lambda: scene.store.unfinished() == 0, "it works again")
    proof = scene.finish()
    assert proof.figures["completed"] == 2
    assert proof.figures["claims rescued from dead workers"] == 1


def test_the_late_writes_of_a_suspended_worker_are_refused(scene: Scene) -> None:
    """The other has long completed the job when the first one's thread returns; what it says changes nothing."""
    [job] = scene.enqueue("threaded", seconds=0.3)
    with scene.victim("nowhere") as sleeper:
        wait_until(lambda: scene.written("begun"), "begun")
        suspend_alone(scene, sleeper)
        with scene.survivor():
            wait_until(lambda: scene.store.unfinished() == 0, "done by the other")
            before = list(scene.store.finals()), list(scene.store.attempts())
            sleeper.signal(signal.SIGCONT)
            wait_until(lambda: scene.written("ended") == 2, "the thread returned")
            wait_until(lambda: scene.written("worker", str(sleeper.pid)) == 2, "back under a new id")
            wait_until(lambda: scene.written("refused") or scene.written("told", "lost"), "told")
    assert (list(scene.store.finals()), list(scene.store.attempts())) == before
    assert [(row[1], row[6]) for row in before[0]] == [(job, 2)]
    scene.finish()


def test_after_all_were_suspended_nobody_robs_another(scene: Scene) -> None:
    """As when a laptop sleeps: every lease has run out, and every worker renews its own and goes on."""
    scene.enqueue("slow", 2, seconds=0.8)
    with scene.victim("nowhere", 1, LONG_LEASE) as one, scene.victim("nowhere", 1, LONG_LEASE) as other:
        wait_until(lambda: scene.written("begun") == 2, "one job in each")
        suspend(scene, one, other)
        wait_until(
            lambda: not any(each.live for each in scene.app.engine.read(scene.app.engine.list_workers)), "lapsed"
        )
        for sleeper in (one, other):
            sleeper.signal(signal.SIGCONT)
        wait_until(lambda: scene.store.unfinished() == 0, "everything ended")
        assert scene.written("worker") == 2, "nobody was declared dead"
    proof = scene.finish()
    assert proof.figures["completed"] == proof.figures["runs"] == 2
    assert proof.figures["claims rescued from dead workers"] == proof.figures["late writes refused"] == 0
