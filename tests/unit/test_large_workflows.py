"""A workflow of any size is built in little memory: what it knows of a job is a number."""

import asyncio
import gc
import tracemalloc
from collections import Counter

import pytest

from turnspit import ConfigurationError, EngineUnavailable, QueueFull, Turnspit, WorkflowBuilder
from turnspit.records import NewJob, NewWorkflow
from turnspit.workflow_steps import StoredStep, WorkflowStep

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

    def store_step(self, step: WorkflowStep) -> StoredStep:
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
        return StoredStep(1, ids)

    async def astore_step(self, step: WorkflowStep) -> StoredStep:
        return self.store_step(step)

    def release(self, reserved: Counter[str]) -> None: ...

    def give_up(self, workflow: int) -> None: ...

    async def agive_up(self, workflow: int) -> None: ...


def build(store: Counting, width: int) -> tuple[int, int]:
    """One job, many that wait for it, one that waits for these: the ids of the last one, and bytes at most."""
    new, last = part.new(1), part.new(2)
    gc.disable()  # a collection also lets go of what Python keeps for later use: then that counts once more
    tracemalloc.start()
    try:
        with WorkflowBuilder(store, NewWorkflow("fan")) as flow:
            first = flow.add(new)
            parts = flow.add_many((new for _ in range(width)), after=[first])
            end = flow.add(last, after=[parts, parts[0], first])
        return end.id, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.enable()


def test_a_fan_takes_eight_bytes_a_job() -> None:
    build(Counting(), 6000)  # what Python keeps for later use depends on the tests before
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


class Failing(Counting):
    """One that fails at a step, once."""

    def __init__(self, at: int, error: BaseException) -> None:
        super().__init__()
        self._at = at
        self._error = error
        self.given_up: list[int] = []
        self.is_away = False

    def store_step(self, step: WorkflowStep) -> StoredStep:
        if self.steps == self._at:
            self._at = -1
            raise self._error
        return super().store_step(step)

    def give_up(self, workflow: int) -> None:
        if self.is_away:
            raise EngineUnavailable("the store is away")
        self.given_up.append(workflow)

    async def agive_up(self, workflow: int) -> None:
        self.give_up(workflow)


@pytest.mark.parametrize("error", [EngineUnavailable("away"), KeyboardInterrupt(), StopIteration(), QueueFull("full")])
def test_what_could_only_be_stored_in_part_is_given_up(error: BaseException) -> None:
    """Whatever ended it, and wherever: nothing of it would ever run, and it would be there for a day."""
    new = part.new(1)

    async def in_async_code(store: Failing) -> None:
        async with WorkflowBuilder(store, NewWorkflow("fan")) as flow:
            await flow.aadd_many([new] * 6000)

    store = Failing(2, error)
    with pytest.raises(type(error)), WorkflowBuilder(store, NewWorkflow("fan")) as flow:
        flow.add_many([new] * 6000)
    assert (store.given_up, store.is_sealed) == ([1], False)
    if not isinstance(error, StopIteration | KeyboardInterrupt):  # a coroutine raises no StopIteration
        store = Failing(2, error)
        with pytest.raises(type(error)):
            asyncio.run(in_async_code(store))
        assert (store.given_up, store.is_sealed) == ([1], False)
    store = Failing(2, error)
    flow = WorkflowBuilder(store, NewWorkflow("fan")).__enter__()
    for _ in range(6000):
        flow.add(new)
    with pytest.raises(type(error)):
        flow.__exit__(None, None, None)
    assert (store.given_up, store.is_sealed) == ([1], False)


def test_where_it_cannot_be_given_up_the_first_error_says_so() -> None:
    store = Failing(2, ValueError("no"))
    store.is_away = True
    with pytest.raises(ValueError, match="no") as raised, WorkflowBuilder(store, NewWorkflow("fan")) as flow:
        flow.add_many([part.new(1)] * 6000)
    [note] = raised.value.__notes__
    assert "workflow fan is stored in part and could not be cancelled (the store is away)" in note
    assert "app.workflows.cancel(1)" in note


def test_a_block_that_goes_on_after_a_part_could_not_be_stored_stores_nothing_twice() -> None:
    store = Failing(2, QueueFull("full"))
    flow = WorkflowBuilder(store, NewWorkflow("fan")).__enter__()
    with pytest.raises(QueueFull):
        flow.add_many([part.new(1)] * 6000)
    flow.add(part.new(2))
    with pytest.raises(ConfigurationError, match="a part of workflow fan could not be stored: let that error end"):
        flow.__exit__(None, None, None)
    assert (store.jobs, store.given_up) == (2000, [1])
