"""A workflow of any size is built in little memory: what it knows of a job is a number."""

import tracemalloc
from collections import Counter

from turnspit import Turnspit, WorkflowBuilder
from turnspit.records import NewJob, NewWorkflow
from turnspit.workflow_steps import WorkflowStep

app = Turnspit("sqlite:////nonexistent/turnspit.db")


@app.task
async def part(number: int) -> None: ...


class Counting:
    """A store that gives ids and counts, and forgets the rest."""

    max_payload = 1000

    def __init__(self) -> None:
        self.jobs = self.steps = self.widest = self.total = 0
        self.edges: Counter[int] = Counter()
        """How many lead to each of the newest jobs."""
        self.is_sealed = False

    def check_job(self, new: NewJob[None], on_failure: str) -> None: ...

    def store_step(self, step: WorkflowStep) -> tuple[int, list[int]]:
        ids = list(range(1 + self.jobs, 1 + self.jobs + len(step.jobs)))
        own = [(after, job) for job, each in zip(ids, step.jobs, strict=True) for after in each.after]
        self.widest = max(self.widest, len(own), len(step.edges))
        self.jobs += len(step.jobs)
        self.steps += 1
        self.total += len(own) + len(step.edges)
        if len(self.edges) > 2000:
            self.edges.clear()
        self.edges.update(dependant for _, dependant in (*own, *step.edges))
        self.is_sealed = step.is_last
        return 1, ids

    async def astore_step(self, step: WorkflowStep) -> tuple[int, list[int]]:
        return self.store_step(step)

    def release(self, reserved: Counter[str]) -> None: ...

    def give_up(self, workflow: int) -> None: ...

    async def agive_up(self, workflow: int) -> None: ...


def build(store: Counting, width: int) -> tuple[int, int]:
    """One job, many that wait for it, one that waits for these: the ids of the last one, and bytes at most."""
    new, last = part.new(1), part.new(2)
    tracemalloc.start()
    try:
        with WorkflowBuilder(store, NewWorkflow("fan")) as flow:
            first = flow.add(new)
            parts = flow.add_many((new for _ in range(width)), after=[first])
            end = flow.add(last, after=[parts, parts[0], first])
        return end.id, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_fan_takes_eight_bytes_a_job() -> None:
    small, large = Counting(), Counting()
    _, few = build(small, 10_000)
    end, many = build(large, 30_000)
    assert large.jobs == 30_002
    assert large.is_sealed
    assert large.edges[end] == 30_001, "each edge once"
    assert large.total == 30_000 + 30_001
    assert large.widest <= 11_000
    assert large.steps <= 30 + 3 + 3, "portions, and no call a job"
    assert many - few < 20_000 * 20, "the ids in an array, which grows by an eighth"


def test_a_large_workflow_waits_for_names_and_goes_round_in_no_circle() -> None:
    """What is added later than what waits for it is sorted before it, also where groups are waited for."""
    store = Counting()
    with WorkflowBuilder(store, NewWorkflow("names")) as flow:
        first = flow.add(part.new(1), after=["last"])
        parts = flow.add_many([part.new(number) for number in range(10)], after=[first])
        flow.add(part.new(2), name="last")
        end = flow.add(part.new(3), after=[parts])
    assert [job.id for job in parts] == list(range(3, 13))
    assert first.id == 2
    assert store.edges == {2: 1, **dict.fromkeys(range(3, 13), 1), end.id: 10}
