"""Who waits in an event loop for what becomes of a job, and waits no longer."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE, Gate
from turnspit import Job, Turnspit
from turnspit.engines.merging import EVERYTHING


async def see_events(app: Turnspit, job: Job[Any]) -> None:
    async for _ in app.aevents(job=job.id):
        """Look at each."""


async def see_workflow(app: Turnspit, job: Job[Any]) -> None:
    assert job.workflow is not None
    await app.workflows.await_ended(job.workflow)


WAYS: dict[str, Callable[[Turnspit, Job[Any]], Awaitable[Any]]] = {
    "result": lambda app, job: job.aget_result(),
    "events": see_events,
    "workflow": see_workflow,
}


def listeners(app: Turnspit) -> list[Any]:
    return app.engine.wakeups._listeners._of_own  # type: ignore[attr-defined, no-any-return]


def enqueue_in_workflow(app: Turnspit) -> Job[Any]:
    @app.task
    async def task() -> None: ...

    with app.workflow("one") as flow:
        planned = flow.add(task.new())
    return app.jobs.get(planned.id)


async def until_it_listens(app: Turnspit) -> None:
    async with asyncio.timeout(DEADLINE):
        while not listeners(app):  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("way", WAYS)
def test_they_need_no_thread_of_the_event_loop(app: Turnspit, way: str) -> None:
    """A result that was there waited until somebody else's slow function had ended in such a thread."""
    gate = Gate()

    async def main() -> None:
        job = enqueue_in_workflow(app)
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        slow = loop.run_in_executor(None, gate.pass_through)
        waiting = asyncio.ensure_future(WAYS[way](app, job))
        await until_it_listens(app)
        async with app.worker():
            worker = await asyncio.wait([waiting], timeout=DEADLINE / 2)
            gate.open()  # before the end of the worker, which waits for its threads
        assert worker[0] == {waiting}
        await asyncio.gather(waiting, slow)

    asyncio.run(main())
    assert listeners(app) == []


@pytest.mark.parametrize("way", WAYS)
def test_where_the_event_loop_was_closed_nobody_goes_on_listening(
    app: Turnspit, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each wake was an error in the log, for good."""
    job = enqueue_in_workflow(app)
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(WAYS[way](app, job))  # type: ignore[arg-type, var-annotated]
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.run_until_complete(until_it_listens(app))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    del waiting
    gc.collect()
    app.engine.wakeups.send(list(EVERYTHING))
    gc.collect()
    assert listeners(app) == []
    assert "listener failed" not in caplog.text
