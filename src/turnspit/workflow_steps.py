"""The parts in which a workflow is stored while it is built."""

from collections import Counter
from typing import Any, NamedTuple, Protocol

from turnspit.records import NewJob, NewWorkflow, NewWorkflowJob

__all__ = ["StoredStep", "WorkflowStep", "WorkflowStore"]


class WorkflowStep(NamedTuple):
    """A part of a workflow to be stored, in one transaction."""

    workflow: int | None
    """The workflow that is extended; ``None`` for a new one, and for the own workflow of the job ``by``."""
    new: NewWorkflow | None = None
    jobs: tuple[NewWorkflowJob, ...] = ()
    edges: tuple[tuple[int, int], ...] = ()
    """``(a, b)``: b waits for a. Ids of stored jobs."""
    is_last: bool = False
    """Whether the workflow is complete with this part."""
    by: tuple[int, int] | None = None
    """``(id, fence)`` of the running job that extends its own workflow."""
    tx: object | None = None
    """The caller's own transaction, in which the part is stored."""
    reserved: Counter[str] | None = None
    """Room that the workflow has in bounded queues, by queue; it grows with each step. ``None``: none is needed."""


class StoredStep(NamedTuple):
    """What became of a step."""

    workflow: int
    jobs: list[int]
    """The ids of its jobs, in the order given; 0 where the workflow that was found has no job of that name."""
    is_found: bool = False
    """Nothing was stored, because an earlier workflow holds the idempotency key: ``workflow`` is that one."""


class WorkflowStore(Protocol):
    """Where a builder's jobs go."""

    @property
    def max_payload(self) -> int:
        """Bytes of JSON that one job's arguments may take."""
        ...

    def check_job(self, new: NewJob[Any], on_failure: str) -> None:
        """Check that the results that a job takes as arguments have types that its task accepts."""
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
