"""What happens to a few jobs of a workflow costs no more where it is large; on SQLite, in steps of its machine."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from tests.contract.store import BOOM, SECOND
from tests.contract.workflows import node
from tests.plans.conftest import Bench, make_bench
from turnspit.contract.verbs import Verb
from turnspit.jobs import JobFilter
from turnspit.records import Claim, ClaimRequest, Completion, Ending, EndingMove, NewWorker, NewWorkflow

TASKS = frozenset({"send"})
SMALL, LARGE = 100, 2000


class Fan:
    """Many jobs that wait for nothing and one behind the first, in one workflow; two of them are running."""

    def __init__(self, bench: Bench, width: int, *, is_sealed: bool) -> None:
        self.bench = bench
        engine = self.engine = bench.engine
        self.id = bench.run(engine.insert_workflow(NewWorkflow("fan"), is_sealed=is_sealed))
        self.jobs = bench.run(engine.extend_workflow(self.id, [*[node()] * width, node(-1, name="last")]))
        self.claims: list[Claim] = []
        if is_sealed:
            worker = bench.run(engine.register_worker(NewWorker("host", 1, "", None, TASKS, 1, SECOND)))
            for job in self.jobs[:2]:
                self.claims += bench.run(engine.claim_jobs(ClaimRequest(worker, 1, TASKS, job=job)))

    def end(self, move: EndingMove) -> Verb[Any]:
        claim = self.claims[0]
        return self.engine.finish_jobs([Ending(claim.id, claim.fence, move, error=BOOM)])

    def finish(self) -> Verb[Any]:
        return self.engine.finish_jobs([Completion(claim.id, claim.fence, "1") for claim in self.claims])

    def more_edges(self) -> Verb[Any]:
        edges = [(job, self.jobs[-1]) for job in self.jobs[1:50]]
        return self.engine.extend_workflow(self.id, (), edges=edges)

    def extend(self) -> Verb[Any]:
        claim, last = self.claims[0], self.jobs[-1]
        return self.engine.extend_workflow(None, [node(name="new", before=[last])], by=(claim.id, claim.fence))

    def find(self) -> Verb[Any]:
        return self.engine.find_workflow("fan", "none", ["last"])

    def replay(self) -> Verb[Any]:
        self.bench.run(self.end(EndingMove.DEAD))
        return self.engine.replay_jobs(JobFilter(id=self.jobs[0]), 0, 10)


CASES: dict[str, tuple[Callable[[Fan], Verb[Any]], bool]] = {
    "two that complete": (Fan.finish, True),
    "one that dies": (lambda fan: fan.end(EndingMove.DEAD), True),
    "one that is cancelled": (lambda fan: fan.end(EndingMove.CANCEL), True),
    "a portion of a fan-in": (Fan.more_edges, False),
    "one that a running job adds": (Fan.extend, True),
    "a key that is looked for": (Fan.find, True),
    "a dead letter replayed": (Fan.replay, True),
}


@pytest.mark.parametrize("name", CASES)
def test_a_large_workflow_costs_what_a_small_one_does(name: str) -> None:
    few, many = cost(name, SMALL), cost(name, LARGE)
    assert many <= few * 1.5 + 5, f"{few} and {many} hundred steps"


def cost(name: str, width: int) -> int:
    """Hundreds of steps."""
    run, is_sealed = CASES[name]
    bench = make_bench()
    with closing(bench.connection):
        return bench.steps(run(Fan(bench, width, is_sealed=is_sealed)))


def test_a_workflow_that_stands_still_is_found_at_the_same_cost_beside_many_that_go_on() -> None:
    few, many = cost_of_looking(SMALL), cost_of_looking(LARGE)
    assert many <= few + 1, f"{few} and {many} hundred steps"


def cost_of_looking(flows: int) -> int:
    bench = make_bench()
    engine, run = bench.engine, bench.run
    with closing(bench.connection):
        worker = run(engine.register_worker(NewWorker("host", 1, "", None, TASKS, 1, SECOND)))
        ends: list[Ending] = []
        for place in range(flows):
            flow = run(engine.insert_workflow(NewWorkflow("flow"), is_sealed=True))
            first, *_ = run(engine.extend_workflow(flow, [node(), node(-1, on_failure="wait"), node(-2)]))
            if place in (flows // 2, flows - 1):
                [claim] = run(engine.claim_jobs(ClaimRequest(worker, 1, TASKS, job=first)))
                ends.append(Ending(claim.id, claim.fence, EndingMove.DEAD, error=BOOM))
        run(engine.finish_jobs(ends))
        assert [each.blocked for each in run(engine.find_standing_workflows(10))] == [2, 2]
        return bench.steps(engine.find_standing_workflows(10))
