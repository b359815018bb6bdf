"""Rescues whose answer was lost."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from turnspit import EngineUnavailable, Turnspit
from turnspit._runtime.maintenance.rescuer import Rescuer
from turnspit.contract.verbs import Verb
from turnspit.records import ClaimRequest, JobRecord, NewWorker


def die_with_a_job(app: Turnspit) -> None:
    engine = app.engine
    new = NewWorker("host", 4711, "0.1.0", None, frozenset(app.tasks), 1, 60_000_000)
    worker = engine.write(engine.register_worker, new)
    engine.write(engine.claim_jobs, ClaimRequest(worker, 1, frozenset(app.tasks)))
    engine.write(engine.retire_worker, worker)


@pytest.mark.parametrize("is_stored", [True, False])
def test_whose_answer_was_lost_is_told_by_the_next_one(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch, is_stored: bool
) -> None:
    told: list[int] = []

    async def on_dead(record: JobRecord) -> None:
        told.append(record.id)

    async def lose(verb: Callable[..., Verb[Any]], *arguments: Any, **options: Any) -> None:
        def then_lost() -> Verb[None]:
            yield from verb(*arguments, **options)
            if not is_stored:
                raise EngineUnavailable("lost before the COMMIT")

        await write(then_lost)
        raise EngineUnavailable("lost in the COMMIT")

    @app.task
    async def greet() -> None: ...

    rescuer = Rescuer(
        app.engine,
        worker=lambda: 1,
        may_rescue=lambda: True,
        interval=1.0,
        max_crashes=0,
        bus=app.bus,
        on_dead=on_dead,
    )

    async def rescue_again() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(app.engine, "awrite", lose)
            with pytest.raises(EngineUnavailable, match="lost"):
                await rescuer.run_once()
        assert told == []
        for _ in range(2):
            await rescuer.run_once()
            assert told == [job.id]

    job = greet.enqueue()
    die_with_a_job(app)
    write = app.engine.awrite
    asyncio.run(rescue_again())
