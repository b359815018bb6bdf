"""Workflows as the dashboard and the API show them."""

from datetime import datetime
from typing import Literal

from turnspit.states import JobState
from turnspit.web.models.base import Document

__all__ = ["WorkflowDetails", "WorkflowDocument", "WorkflowEdge", "WorkflowJobDocument", "WorkflowsPage"]


class WorkflowJobDocument(Document):
    """A job as its workflow sees it."""

    id: int
    name: str | None
    task: str | None
    """Null, as its state, once the job is gone from history."""
    queue: str | None
    state: JobState | None
    on_failure: str
    waits_for: int
    """How many of its dependencies are not done."""
    attempt: int | None
    started_at: datetime | None
    finished_at: datetime | None
    progress: float | None
    reason: str | None

    @property
    def shown_state(self) -> str:
        """Its state in words."""
        return "gone" if self.state is None else str(self.state)


class WorkflowDocument(Document):
    """A workflow in a list."""

    id: int
    name: str
    state: Literal["running", "completed", "failed", "cancelled"]
    created_at: datetime
    deadline: datetime | None
    finished_at: datetime | None
    reason: str | None
    total: int
    """Jobs."""
    unfinished: int
    completed: int
    cancelled: int
    dead: int
    progress: float
    """The share of its jobs that are final."""
    idempotency_key: str | None


class WorkflowEdge(Document):
    """A job, and one that waits for it."""

    job: int
    dependant: int


class WorkflowDetails(WorkflowDocument):
    """A workflow with its jobs, the oldest first, or a page of them."""

    jobs: list[WorkflowJobDocument]
    edges: list[WorkflowEdge]
    next: int | None


class WorkflowsPage(Document):
    """The newest workflows."""

    workflows: list[WorkflowDocument]
    next: str | None
