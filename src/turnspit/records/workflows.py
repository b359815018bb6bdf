"""Workflows: jobs that depend on jobs."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from turnspit.records.jobs import NewJob
from turnspit.states import JobState

__all__ = ["FoundWorkflow", "NewWorkflow", "NewWorkflowJob", "StandingWorkflow", "WorkflowJobRecord", "WorkflowRecord"]


class NewWorkflow(NamedTuple):
    """A workflow that is not stored yet, without its jobs."""

    name: str
    hooks: tuple[tuple[str, NewJob[Any]], ...] = ()
    """Jobs to enqueue when it ends, each with ``on_complete``, ``on_success`` or ``on_failure``."""
    deadline: int | None = None
    """Microseconds after which it is cancelled."""
    idempotency_key: str | None = None
    """While it has not ended, and for a day, no other of its name and this key is stored."""


class FoundWorkflow(NamedTuple):
    """A stored workflow that holds an idempotency key."""

    id: int
    jobs: dict[str, int]
    """The ids of its jobs, of the names that were asked for."""


class NewWorkflowJob(NamedTuple):
    """A job of a workflow that is not stored yet.

    Other jobs are given by their ids, or by their names if they are stored already. The jobs of the same call are
    ``-1``, ``-2`` and so on, in the order of the call; each must come after those that it waits for.
    """

    job: NewJob[Any]
    name: str | None = None
    after: tuple[int | str, ...] = ()
    """It waits for these."""
    before: tuple[int | str, ...] = ()
    """These stored jobs, which still wait for others, wait for it too."""
    on_failure: str = "cancel"
    """What becomes of it if a job of ``after`` is cancelled or dead: ``cancel``, ``run`` or ``wait``."""
    results: Any = None
    """Which arguments are made of other jobs' results: ``{"limit": bytes, "arguments": {name: template}}``. A template
    is ``["value", json]``, ``["result", job, [field or index, ...]]``, ``["list", [template, ...]]`` or
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
    idempotency_key: str | None = None


@dataclass(slots=True)
class WorkflowJobRecord:
    """A job as its workflow sees it."""

    id: int
    name: str | None
    on_failure: str
    waits_for: int
    task: str | None
    """Like ``state`` and what follows, ``None`` once the job was removed from history."""
    queue: str | None
    state: JobState | None
    attempt: int | None
    started_at: int | None
    finished_at: int | None
    progress: float | None
    reason: str | None


class StandingWorkflow(NamedTuple):
    """A workflow of which nothing can begin any more, unless a person lets it go on."""

    id: int
    name: str
    job: int
    """The one that ended badly, and that others wait for."""
    task: str | None
    """``None`` once the job is gone from history."""
    state: JobState
    """``dead`` or ``cancelled``."""
    blocked: int
    """How many jobs are left of it."""
