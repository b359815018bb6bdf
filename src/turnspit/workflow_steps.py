"""What a builder of workflows gives to the store, part by part."""

from collections import Counter
from typing import Any, NamedTuple, Protocol

from turnspit.records import NewJob, NewWorkflow, NewWorkflowJob

__all__ = ["StoredStep", "WorkflowStep", "WorkflowStore"]


class WorkflowStep(NamedTuple):
    """A part of a workflow to be stored, in one transaction."""

    workflow: int | None
    """The one that is extended; ``None`` for a new one, and for that of the job ``by``."""
    new: NewWorkflow | None = None
    jobs: tuple[NewWorkflowJob, ...] = ()
    edges: tuple[tuple[int, int], ...] = ()
    is_last: bool = False
    by: tuple[int, int] | None = None
    tx: object | None = None
    reserved: Counter[str] | None = None
    """The room that it has in bounded queues, which grows with each step; ``None`` where none is asked for."""


class StoredStep(NamedTuple):
    """What became of a step."""

    workflow: int
    jobs: list[int]
    """The ids of its jobs, in the order given; 0 for what ``is_found`` has no job of that name for."""
    is_found: bool = False
    """Nothing was stored: an earlier workflow holds the idempotency key."""


class WorkflowStore(Protocol):
    """Where a builder's jobs go."""

    @property
    def max_payload(self) -> int:
        """Bytes of JSON that one job's arguments may take."""
        ...

    def check_job(self, new: NewJob[Any], on_failure: str) -> None:
        """See that what a job takes of others' results can be what its task takes."""
        ...

    def store_step(self, step: WorkflowStep) -> StoredStep:
        """Store a part, unless an earlier workflow holds its idempotency key.

        :raises QueueFull: if a queue has no room for it; nothing of the part is stored.
        """
        ...

    async def astore_step(self, step: WorkflowStep) -> StoredStep:
        """``store_step`` for async code."""
        ...

    def give_up(self, workflow: int) -> None:
        """Cancel what has been stored of a workflow."""
        ...

    async def agive_up(self, workflow: int) -> None:
        """``give_up`` for async code."""
        ...

    def release(self, reserved: Counter[str]) -> None:
        """Let go of the room that was reserved for a workflow, which is stored, or will not be."""
        ...
