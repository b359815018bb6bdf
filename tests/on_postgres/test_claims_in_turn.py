"""Claims of limited jobs take turns in the fleet. Who has to wait long for its turn, goes on with all other jobs."""

import psycopg

from tests.behaviour.support import DEADLINE, wait_until
from turnspit import Concurrency, Turnspit

WAITS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4 AND NOT granted"
"""How many wait for their turn."""


def test_behind_a_worker_that_stands_still_in_its_claim_others_begin_jobs_without_limits(
    app: Turnspit, plain_url: str
) -> None:
    """As one that is suspended, or whose machine is gone: the server gives it up after ten seconds."""

    @app.task(concurrency=Concurrency(1))
    async def limited() -> int:
        return 1

    @app.task
    async def free() -> int:
        return 2

    app.migrate()
    with psycopg.connect(plain_url) as connection, app.worker():
        sql = app.engine.sql["claim_limited_jobs_lock"]  # type: ignore[attr-defined]
        connection.execute(sql)
        job = limited.enqueue()
        wait_until(lambda: connection.execute(WAITS).fetchone() != (0,), "a worker that waits for its turn")
        assert free.enqueue().get_result(timeout=7) == 2
        assert job.refresh().state == "held"
        connection.commit()
        assert job.get_result(timeout=DEADLINE) == 1
