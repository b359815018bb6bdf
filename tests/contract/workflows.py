"""Short words for the verbs of workflows."""

from collections.abc import Sequence
from typing import Any

from tests.contract.store import Store
from turnspit.contract.verbs import Verb
from turnspit.records import Claim, EndingMove, NewJob, NewWorkflow, NewWorkflowJob, WorkflowRecord
from turnspit.states import JobState


def node(
    *after: int, name: str | None = None, on_failure: str = "cancel", before: Sequence[int] = (), **fields: Any
) -> NewWorkflowJob:
    """A new job that waits for these; ``-1`` is the first of the same call."""
    results = fields.pop("results", None)
    job = NewJob(fields.pop("task", "send"), "default", fields.pop("args", "{}"), **fields)
    spec = None if results is None else {"limit": 1000, "arguments": results}
    return NewWorkflowJob(job, name, after, tuple(before), on_failure, spec)


class Flow:
    """A stored workflow, and the moves that tests make with it."""

    def __init__(self, store: Store, *nodes: NewWorkflowJob, is_sealed: bool = True, **fields: Any) -> None:
        self.store = store
        engine = self.engine = store.engine

        def build() -> Verb[tuple[int, list[int]]]:
            workflow = yield from engine.insert_workflow(NewWorkflow("fulfil", **fields), is_sealed=is_sealed)
            return workflow, (yield from engine.extend_workflow(workflow, nodes))

        self.id, self.jobs = engine.write(build)

    def extend(self, *nodes: NewWorkflowJob, by: Claim | None = None) -> list[int]:
        who = None if by is None else (by.id, by.fence)
        return self.engine.write(self.engine.extend_workflow, None if by else self.id, nodes, by=who)

    def seal(self) -> None:
        self.engine.write(self.engine.seal_workflow, self.id)

    def cancel(self, reason: str = "not needed", limit: int = 100) -> int | None:
        return self.engine.write(self.engine.cancel_workflow, self.id, reason, limit)

    def replay(self, after: int = 0, limit: int = 100, *, whole: bool = False) -> list[int]:
        return self.engine.write(self.engine.replay_workflow, self.id, after, limit, whole=whole)

    def tend(self, limit: int = 100) -> tuple[int, int | None]:
        return self.engine.write(self.engine.tend_workflows, limit)

    def states(self) -> str:
        """The first letter of each job's state, in the order of its jobs: ``b`` blocked, ``C`` cancelled, ..."""
        letters = {JobState.CANCELLED: "X", JobState.RUNNING: "*"}
        states = [self.store.state(job) for job in self.jobs]
        return "".join(letters.get(state, state[0]) for state in states)

    def run(self, *places: int, result: str = "null") -> None:
        """These jobs begin and complete."""
        for place in places:
            self.store.complete(self.claim(place), result=result)

    def kill(self, place: int) -> None:
        """This job begins and becomes a dead letter."""
        self.store.end(self.claim(place), EndingMove.DEAD)

    def claim(self, place: int) -> Claim:
        return self.store.claim_one(job=self.jobs[place])

    @property
    def record(self) -> WorkflowRecord:
        record = self.engine.read(self.engine.get_workflow, self.id)
        assert record is not None
        return record

    @property
    def counts(self) -> tuple[int, int, int, int, int]:
        """Jobs, unfinished, completed, cancelled, dead."""
        record = self.record
        return record.jobs, record.unfinished, record.completed, record.cancelled, record.dead
