"""A task that blocks the event loop stops every job of its worker: the worker says which code it is."""

import asyncio
import logging
import re
import threading

import pytest

from tests.behaviour.support import DEADLINE, Gate, wait_until
from turnspit import Turnspit
from turnspit._runtime.worker.loop_watch import LoopWatch


def messages(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if words in record.getMessage()]


def test_a_task_that_blocks_the_event_loop_is_reported_with_its_job_and_stack(
    app: Turnspit, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()

    @app.task
    async def block_the_loop() -> str:
        gate.pass_through()
        return "done"

    with caplog.at_level(logging.WARNING, "turnspit"), app.worker(lease=60, heartbeat=0.05):
        job = block_the_loop.enqueue()
        gate.wait_for()
        # A busy machine may hold the loop up before, which is reported too.
        wait_until(lambda: messages(caplog, f"by job {job.id} ({job.task}),"), "a report")
        gate.open()
        assert job.get_result(timeout=DEADLINE) == "done"
        wait_until(lambda: messages(caplog, "the event loop goes on; it was blocked for"), "the end of it")

    [report, *_] = messages(caplog, f"by job {job.id} ({job.task}),")
    assert "the event loop has been blocked for" in report
    assert "or declare it with def" in report
    assert "in block_the_loop\n    gate.pass_through()" in report.splitlines()[1] + "\n" + report.splitlines()[2]


def test_the_store_knows_what_blocks_an_event_loop_for_as_long_as_it_does(app: Turnspit) -> None:
    """Also where nobody can read that worker's log."""
    gate = Gate()

    @app.task
    async def block_the_loop() -> None:
        gate.pass_through()

    def blocked_by() -> str | None:
        [found] = app.workers.list()
        assert (found.blocked_since is None) is (found.blocked_by is None)
        return found.blocked_by

    with app.worker(lease=60, heartbeat=0.05):
        job = block_the_loop.enqueue()
        gate.wait_for()
        name = rf"job {job.id} \({job.task}\)"
        inside = re.compile(rf"{name} at {re.escape(__file__)}:\d+ in block_the_loop, in .* in wait")
        wait_until(lambda: inside.fullmatch(blocked_by() or ""), "what blocks it")
        gate.open()
        job.get_result(timeout=DEADLINE)
        wait_until(lambda: blocked_by() is None, "its end")


def test_a_blocked_loop_is_logged_once_each_time(caplog: pytest.LogCaptureFixture) -> None:
    answered = threading.Event()
    watch: list[LoopWatch] = []

    async def make(loop: asyncio.AbstractEventLoop) -> None:
        watch.append(LoopWatch(loop, lambda task: None))

    def wait_for_the_loop(loop: asyncio.AbstractEventLoop) -> None:
        answered.clear()
        loop.call_soon_threadsafe(answered.set)
        assert answered.wait(DEADLINE)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(make(loop), loop).result(DEADLINE)
    with caplog.at_level(logging.WARNING, "turnspit"):
        for _ in range(3):  # one that answers in time is nobody's business
            watch[0].look()
            wait_for_the_loop(loop)
        assert caplog.records == []
        for _ in range(2):
            gate = Gate()
            loop.call_soon_threadsafe(gate.pass_through)
            gate.wait_for()
            found = [watch[0].look() for _ in range(4)]
            assert found[0] is None
            lengths = [each.blocked_for for each in found if each is not None]
            assert len(lengths) == 3
            assert lengths == sorted(lengths)
            gate.open()
            wait_for_the_loop(loop)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(DEADLINE)
    loop.close()
    watch[0].look()  # after its end, too

    assert len(messages(caplog, "has been blocked for")) == 2
    assert len(messages(caplog, "goes on")) == 2
