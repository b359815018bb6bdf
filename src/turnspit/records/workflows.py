"""Workflows: jobs that depend on jobs."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from turnspit.records.jobs import NewJob
from turnspit.states import JobState

__all__ = ["NewWorkflow", "NewWorkflowJob", "WorkflowJobRecord", "WorkflowRecord"]


class NewWorkflow(NamedTuple):
    """A workflow that is not stored yet, without its jobs."""

    name: str
    hooks: tuple[tuple[str, NewJob[Any]], ...] = ()
    """The jobs that its end becomes: ``on_complete``, ``on_success`` or ``on_failure``, and the job."""
    deadline: int | None = None
    """Microseconds from now; after them it is cancelled."""


class NewWorkflowJob(NamedTuple):
    """A job of a workflow that is not stored yet.

    Others are meant by their ids or, if they are stored, by their names; those of the same call by ``-1``, ``-2`` and
    so on, in the order given, in which each comes after those that it waits for.
    """

    job: NewJob[Any]
    name: str | None = None
    after: tuple[int | str, ...] = ()
    """It waits for these."""
    before: tuple[int | str, ...] = ()
    """These, which are stored already and wait for something else, wait for it too."""
    on_failure: str = "cancel"
    """What it does if one of them is cancelled or dead: ``cancel``, ``run`` or ``wait``."""
    results: Any = None
    """Which arguments are made of others' results: ``{"limit": bytes, "arguments": {name: template}}``. A template is
    ``["value", json]``, ``["result", job, [field or index, ...]]``, ``["list", [template, ...]]`` or
    ``["dict", {key: template}]``.
    """


@dataclass(slots=True)
class WorkflowRecord:
    """A stored workflow. Its counters are those of all its jobs."""

    id: int
    name: str
    created_at: int
    sealed_at: int | None
    deadline_at: int | None
    cancelled_at: int | None
    reason: str | None
    finished_at: int | None
    jobs: int
    unfinished: int
    completed: int
    cancelled: int
    dead: int


@dataclass(slots=True)
class WorkflowJobRecord:
    """A job as its workflow sees it."""

    id: int
    name: str | None
    on_failure: str
    waits_for: int
    task: str | None
    """``None``, as its state, once the job is gone from history."""
    queue: str | None
    state: JobState | None
    attempt: int | None
    started_at: int | None
    finished_at: int | None
    progress: float | None
    reason: str | None
