"""9. No decision depends on a worker's clock."""

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from turnspit import Retry, Snooze, Turnspit


@pytest.mark.parametrize("wrong", [0.0, 4_000_000_000.0], ids=["1970", "2096"])
def test_time_is_the_databases(app: Turnspit, monkeypatch: pytest.MonkeyPatch, wrong: float) -> None:
    """Python's clock is wrong by decades; SQLite asks the system itself."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    monkeypatch.setattr(time, "time", lambda: wrong)
    monkeypatch.setattr(time, "time_ns", lambda: int(wrong * 1e9))
    tries: list[float] = []

    @app.task(retry=Retry(attempts=5, delay=0.2))
    def work() -> str:
        tries.append(time.monotonic())
        if len(tries) == 1:
            raise ValueError
        if len(tries) == 2:
            raise Snooze(0.2)
        return "done"

    with app.worker(lease=1, heartbeat=0.2):
        enqueued = time.monotonic()
        job = work.using(delay=0.2).enqueue()
        assert job.state == "scheduled"
        assert job.get_result(timeout=10) == "done"
    moments = [enqueued, *tries]
    waits = [later - earlier for earlier, later in pairwise(moments)]
    assert all(wait > 0.15 for wait in waits), waits
    for moment in (job.created_at, job.run_at, job.started_at, job.finished_at):
        assert moment is not None
        assert before <= moment <= before + timedelta(minutes=1)
