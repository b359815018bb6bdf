"""Turnspit's workflows as they come, on either engine."""

import time
from typing import Any

import turnspit
from benchmarks.contract import FlowProgram, starts
from turnspit import Turnspit

app = Turnspit()

_CONCURRENCY = 50
_LONGEST = 7200.0


@app.task(keep_result=False)
async def hop(number: int) -> None:
    """A job that says when it began."""
    starts.mark(number)


@app.task(keep_result=False)
async def nothing(number: int = 0) -> None:
    """A job that does nothing."""


@app.task(keep_result=False, queue="unserved")
async def unserved(number: int = 0) -> None:
    """A job that nobody runs."""


class TurnspitFlows(FlowProgram):
    """``app.workflow``, ``app.chain``, an embedded worker."""

    def settings(self) -> dict[str, str]:
        return {"version": turnspit.__version__, "settings": f"one process; concurrency {_CONCURRENCY}"}

    def open(self) -> None:
        app.configure(self.store)
        app.jobs.count()
        self.chain(50)  # what is slow once is not measured

    def flows(self, count: int) -> dict[str, Any]:
        began = time.perf_counter()
        for number in range(count):
            with app.workflow("small") as flow:
                first = flow.add(unserved.new(number))
                both = [flow.add(unserved.new(number), after=[first]) for _ in range(2)]
                flow.add(unserved.new(number), after=both)
        return {"seconds": time.perf_counter() - began}

    def chain(self, length: int) -> dict[str, Any]:
        starts.moments.clear()
        began = time.perf_counter()
        flow = app.chain(*[hop.new(number) for number in range(length)])
        return self._run(flow, began) | {"starts": list(starts.moments.values())}

    def fan(self, width: int, first: int) -> dict[str, Any]:
        began = time.perf_counter()
        with app.workflow("fan") as flow:
            after = [flow.add(nothing.new())] if first else []
            parts = flow.add_many((nothing.new(number) for number in range(width)), after=after)
            flow.add(nothing.new(), after=[parts])
        assert flow.id is not None
        return self._run(flow.id, began)

    def _run(self, flow: int, began: float) -> dict[str, Any]:
        stored = time.perf_counter()
        with app.worker(concurrency=_CONCURRENCY, queues=["default"]):
            app.workflows.wait_ended(flow, _LONGEST)
            ended = time.perf_counter()
        return {"stored": stored - began, "ran": ended - stored}
