"""Workers that a person asks to end, from anywhere: ``app.workers``."""

import asyncio
import logging
import threading

import pytest

from turnspit import Turnspit
from turnspit.errors import WorkerNotFound


def test_a_worker_that_is_asked_to_stop_stops(app: Turnspit) -> None:
    @app.task
    async def greet() -> None: ...

    with app.worker() as worker:
        [info] = app.workers.list()
        assert (info.is_live, info.asked_to, info.concurrency) == (True, None, 10)
        app.workers.stop(info.id)
        worker.wait()
    [info] = app.workers.list()
    assert (info.is_live, info.asked_to) == (False, "stop")
    assert info.stopped_at is not None
    with pytest.raises(WorkerNotFound, match="no live worker has the id"):
        app.workers.stop(info.id)


def test_a_quiet_worker_ends_with_its_last_job(app: Turnspit, caplog: pytest.LogCaptureFixture) -> None:
    begun, may_end, is_quiet = threading.Event(), threading.Event(), threading.Event()
    caplog.set_level(logging.INFO, "turnspit")
    caplog.handler.addFilter(lambda record: "takes no more jobs" not in record.getMessage() or is_quiet.set() or True)

    @app.task
    def hold() -> str:
        begun.set()
        may_end.wait(20)
        return "done"

    with app.worker() as worker:
        held = hold.enqueue()
        assert begun.wait(20)
        [info] = app.workers.list()
        asyncio.run(app.workers.aquiet(info.id))
        assert is_quiet.wait(20)
        later = hold.enqueue()
        may_end.set()
        worker.wait()
    assert (held.refresh().state, later.refresh().state) == ("completed", "ready")


def test_nobody_can_ask_a_worker_that_is_not_there(app: Turnspit) -> None:
    with pytest.raises(WorkerNotFound):
        app.workers.quiet(1)
    with pytest.raises(WorkerNotFound):
        asyncio.run(app.workers.astop(1))
    assert asyncio.run(app.workers.alist()) == []
