"""A job that comes back to the worker that had it before: nothing is left of its earlier claim."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from turnspit import Concurrency, EngineUnavailable, JobContext, Turnspit
from turnspit._runtime.worker import claimer
from turnspit._runtime.worker.exchanges import exchange
from turnspit._runtime.worker.executor import Executor
from turnspit._runtime.worker.finisher import Finisher
from turnspit._runtime.worker.running import Running
from turnspit._runtime.worker.settings import WorkerSettings
from turnspit._runtime.worker.worker import Worker
from turnspit.context import claim_of
from turnspit.records import Claim, ClaimRequest, NewWorker

EARLIER = claim_of(JobContext.detached())._replace(id=1, fence=1)


def test_what_it_reports_is_not_stored_as_that_of_the_earlier_claim(app: Turnspit) -> None:
    """Which is not current any more, so that it was lost: the progress, and the place of its iteration."""

    @app.task
    async def task() -> None: ...

    async def main() -> None:
        engine, job = app.engine, await task.aenqueue()
        finisher = Finisher(app.worker_parts(), is_idle=lambda: False, signal=lambda: None)
        new = NewWorker("host", 1, "0", None, frozenset({job.task}), 1, 60_000_000)
        request = ClaimRequest(await engine.awrite(engine.register_worker, new), 1, frozenset({job.task}))

        async def claim() -> Claim:
            [claim] = await engine.awrite(engine.claim_jobs, request)
            return claim

        earlier = await claim()
        finisher.report_progress(earlier, 0.25, None, None)
        await engine.awrite(engine.return_jobs, [(earlier.id, earlier.fence)])
        current = await claim()
        finisher.report_progress(current, 0.75, None, None)
        finisher.put_back(finisher.take())  # the store was away for a moment
        finisher.report_cursor(current, "7")
        await engine.awrite(exchange, engine, finisher.take(), None)
        assert (await job.arefresh()).progress == 0.75
        await engine.awrite(engine.return_jobs, [(current.id, current.fence)])
        assert (await claim()).cursor == "7"

    asyncio.run(main())


LEAVE: dict[str, Callable[[Executor], Any]] = {
    "handed back": lambda executor: executor.take(),
    "cancelled": lambda executor: executor.take_jobs({1, 2}),
    "lost": lambda executor: executor.lose(),
    "ended": lambda executor: executor.fill(),
}


@pytest.mark.parametrize("how", LEAVE)
def test_a_worker_keeps_nothing_of_claims_that_are_over(app: Turnspit, how: str) -> None:
    """By when each was to begin, and why one must not run, were kept for as long as it lived."""

    async def main() -> None:
        worker = Worker(app.worker_parts(), WorkerSettings(concurrency=2))
        executor = worker.executor
        executor._may_start = lambda: how == "ended"
        running = executor.running[1] = Running(EARLIER, JobContext.detached())
        for claim in (EARLIER._replace(id=2), EARLIER._replace(fence=2), EARLIER._replace(fence=3)):
            executor.conditions.refuse(claim, ValueError())
            executor.add_limited([claim], [claim.id], 1e9)  # the second and the third wait for the run of the first
        if how in ("handed back", "ended"):
            executor._free(running)
        LEAVE[how](executor)
        while how == "ended" and executor.running:
            await asyncio.wait([each.task for each in executor.running.values() if each.task is not None])
        assert len(executor.conditions) == 0
        executor.close()

    asyncio.run(main())


def test_nor_of_those_that_go_back_because_they_wait_behind_slow_ones(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claimer, "_STALE", -1.0)

    async def main() -> None:
        worker = Worker(app.worker_parts(), WorkerSettings(concurrency=1))
        worker.executor.conditions.refuse(EARLIER, ValueError())
        worker.executor.add([EARLIER])
        await worker.claimer._give_back_surplus()
        assert (worker.executor.waiting, len(worker.executor.conditions)) == (0, 0)
        worker.executor.close()

    asyncio.run(main())


def test_nor_of_those_for_which_the_store_was_away_before_they_could_begin(app: Turnspit) -> None:
    @app.task(concurrency=Concurrency(1, key=lambda number: 1 / number))
    async def limited(number: int) -> None: ...

    async def main() -> None:
        worker = Worker(app.worker_parts(), WorkerSettings(concurrency=1))
        claims = [EARLIER._replace(id=number, task=limited.name, args=f'{{"number": {number}}}') for number in (0, 1)]
        app.engine.assign_lanes = refuse  # type: ignore[method-assign]
        with pytest.raises(EngineUnavailable):
            await worker.claimer._admission.admit(claims)
        assert len(worker.executor.conditions) == 0
        worker.executor.close()

    def refuse(lanes: object) -> Any:
        yield from ()
        worked.append(lanes)
        raise EngineUnavailable("away")

    worked: list[object] = []
    asyncio.run(main())
    assert len(worked) == 1
