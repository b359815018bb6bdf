"""A store, an app on it, and the ledger of everybody: where worker processes die and wake up."""

import signal
from pathlib import Path

import pytest
from soak.ledger import Ledger, entries
from soak.programs import write_down_ends
from soak.proof import Proof, prove
from soak.stores import Store
from soak.tasks import make_app

from tests.behaviour.support import change, wait_until
from tests.faults.points import HEARTBEAT, LEASE
from tests.faults.program import PATIENCE, Program
from turnspit import EngineUnavailable, Turnspit
from turnspit._runtime.worker.embedded import EmbeddedWorker


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

    def victim(self, point: str, concurrency: int = 4, lease: float = LEASE) -> Program:
        options = (point, str(concurrency), str(lease))
        return Program("-m", "tests.faults.points", self.url, str(self.folder), *options)

    def suspend(self, victim: Program) -> None:
        """Stop a process that is not in the middle of a write: on SQLite it would keep everybody out."""
        nothing = "UPDATE {jobs} SET priority = priority WHERE id < 0"
        with Turnspit(self.url, deadline=0.5) as others:
            change(others, nothing)  # it opens the store
            while True:
                victim.suspend()
                try:
                    change(others, nothing)
                except EngineUnavailable:
                    victim.signal(signal.SIGCONT)
                    change(self.app, nothing)  # it goes on, and ends its write
                else:
                    return

    def survivor(self) -> EmbeddedWorker:
        """A worker in this process."""
        return self.app.worker(lease=LEASE, heartbeat=HEARTBEAT, concurrency=4)

    def live_workers(self) -> int:
        """How many leases hold, by the store's clock."""
        return sum(each.live for each in self.app.engine.read(self.app.engine.list_workers))

    def wait_death(self, victim: Program) -> None:
        assert victim.wait(PATIENCE) == -signal.SIGKILL, victim.rest()
        self.ledger.write("killed", detail=str(victim.pid))

    def finish(self) -> Proof:
        """A survivor works until nothing is left; what can be proven then."""
        with self.survivor():
            wait_until(lambda: self.store.unfinished() == 0, f"everything ended: {list(self.store.finals())}")
        proof = prove(self.folder, self.store)
        assert proof.violations == {}, f"{proof.violations} of {list(self.store.finals())}"
        return proof

    def written(self, what: str, detail: str | None = None) -> int:
        """How often somebody wrote this down."""
        return sum(entry[0] == what and detail in (None, entry[4]) for entry in entries(self.folder))
