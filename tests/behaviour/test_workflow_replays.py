"""How many jobs a replay of a workflow says that it brought back."""

import asyncio

import pytest

from turnspit import Retry, Turnspit
from turnspit.operations import workflows as workflows_module


@pytest.mark.parametrize("is_async", [False, True])
def test_a_replay_counts_those_that_came_back_with_another(
    app: Turnspit, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that a dead job had cancelled come back with it, maybe before their own portion is looked at."""
    monkeypatch.setattr(workflows_module, "_PORTION", 2)

    @app.task(retry=Retry(attempts=1))
    async def fails() -> None:
        raise ValueError("no")

    @app.task
    async def fine() -> None: ...

    with app.workflow("fan") as flow:
        flow.add(fine.new())
        first = flow.add(fails.new())
        for _ in range(5):
            flow.add(fine.new(), after=[first])
    with app.worker(until_empty=True) as worker:
        worker.wait()
    replayed = asyncio.run(app.workflows.areplay(flow.id)) if is_async else app.workflows.replay(flow.id)
    assert replayed == 6
    assert app.workflows.get(flow.id).unfinished == 6
