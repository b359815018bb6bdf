"""A process that stands still for longer than its lease, and then goes on as if nothing had happened."""

import signal
from pathlib import Path
from typing import Any

from tests.faults.conftest import Ledger
from tests.faults.program import PATIENCE, Program, wait_until
from turnspit import Turnspit
from turnspit.engines.sqlite.turnstile import Turnstile


def test_the_late_writes_of_a_stopped_worker_are_refused(
    shop: Turnspit, url: str, path: Path, ledger: Ledger, folder: Path, survivor: Any
) -> None:
    go = folder / "go"
    job = shop.tasks["note"].enqueue(str(go))
    turnstile = Turnstile(Path(f"{path}-turnspit") / "turnstile")
    with Program.of("worker", url, ledger.path) as sleeper:
        sleeper.wait_for("inside")
        with turnstile:  # stopped while it writes, it would keep everybody out
            sleeper.signal(signal.SIGSTOP)
        turnstile.close()
        with survivor:
            wait_until(lambda: job.refresh().attempts[-1].worker and job.crashes, "rescued")
            go.touch()
            assert job.get_result(timeout=PATIENCE) == job.id
            before = job.refresh()
            state, attempts = before.state, before.attempts
            sleeper.signal(signal.SIGCONT)
            sleeper.wait_for("done")
            # It learns that it was declared dead, and comes back under a new number.
            second = shop.tasks["quick"].enqueue(2)
            assert second.get_result(timeout=PATIENCE) == 2
            wait_until(lambda: "declared dead" in sleeper.so_far(), "told that it was declared dead")
            wait_until(lambda: len(_live(shop)) == 2, "back under a new number")
    after = job.refresh()
    assert (after.state, after.attempts) == (state, attempts)
    assert ledger.rows("done") == [(job.id, 1), (job.id, 1)]


def _live(shop: Turnspit) -> list[int]:
    return [worker.id for worker in shop.engine.read(shop.engine.list_workers) if worker.live]
