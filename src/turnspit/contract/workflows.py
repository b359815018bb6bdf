"""Workflows: jobs that wait for jobs.

Each job counts how many of its dependencies it still waits for. The transaction that ends a job settles its edges, and
makes those dependants ready that wait for nothing more. So its cost depends on the number of its dependants, not on the
size of the workflow.
"""

from collections.abc import Sequence
from typing import Protocol

from turnspit.contract.verbs import Verb
from turnspit.records import (
    FoundWorkflow,
    NewWorkflow,
    NewWorkflowJob,
    StandingWorkflow,
    WorkflowJobRecord,
    WorkflowRecord,
)

__all__ = ["Workflows"]


class Workflows(Protocol):
    """The verbs of workflows. What the end of a job means for them is part of the verbs that end it."""

    def find_workflow(self, name: str, idempotency_key: str, jobs: Sequence[str]) -> Verb[FoundWorkflow | None]:
        """The workflow of this name that holds this key: one that has not ended, or was stored within the last day.

        Other transactions that ask for the same key wait until this one has ended, and then find what it stored.

        :param jobs: names of its jobs, whose ids are wanted.
        """
        ...

    def insert_workflow(self, new: NewWorkflow, *, is_sealed: bool) -> Verb[int]:
        """Store a workflow without jobs; its id. None of its jobs runs before it is sealed, so that several
        transactions can fill it. One that is not sealed within a day is cancelled. If it has a key, call
        ``find_workflow`` first.
        """
        ...

    def extend_workflow(
        self,
        workflow: int | None,
        jobs: Sequence[NewWorkflowJob],
        *,
        edges: Sequence[tuple[int, int]] = (),
        by: tuple[int, int] | None = None,
    ) -> Verb[list[int]]:
        """Add jobs; their ids in the order given. They can wait for each other, and for jobs of the workflow.

        A dependency may have ended, or end at this moment: the new job never misses its end.

        :param edges: ``(a, b)`` of stored jobs: b waits for a too. Only before the workflow is sealed, for a job with
            more dependencies than one call should store.
        :param by: ``(id, fence)`` of the running job that adds them to its own workflow. Then a job whose name is taken
            is not stored again, so that another attempt adds nothing twice.
        :raises LostClaim: if that claim is not current.
        :raises MoveNotAllowed: if a dependency is not part of the workflow, a job of ``before`` does not wait any more,
            the edges would close a circle, or the workflow has ended or was cancelled.
        """
        ...

    def seal_workflow(self, workflow: int) -> Verb[None]:
        """All jobs are stored: make those ready that wait for nothing, a portion now, the rest by
        ``tend_workflows``.
        """
        ...

    def cancel_workflow(self, workflow: int, reason: str, limit: int) -> Verb[int | None]:
        """Cancel its waiting jobs and request the end of its running ones, at most ``limit`` a call; how many. From the
        first call on, none of its jobs begins. ``None`` if there is no such workflow, or it has ended.
        """
        ...

    def replay_workflow(self, workflow: int, after: int, limit: int, *, whole: bool) -> Verb[list[int]]:
        """Replay its dead and cancelled jobs, the oldest with an id above ``after``; their ids. Each waits for those of
        its dependencies that are not done.

        With ``whole``, completed jobs are replayed too, and every job waits for all its dependencies again. The
        workflow is then unsealed until ``seal_workflow``. Called until nothing is left.

        Nobody waits for a dependency that was deleted: if it had completed, it counts as it did; if not, what waits for
        it ends, or begins, as when it was deleted.
        """
        ...

    def tend_workflows(self, limit: int, refused: dict[str, str] | None = None) -> Verb[tuple[int, int | None]]:
        """Do a portion of what is left to do for workflows: how much it was, and the microseconds until there is more.

        Large fan-outs continue here, and workflows past their deadline are cancelled.

        :param refused: leave out what the store refuses, by a constraint or a trigger of somebody else, and note here
            what it was and why.
        """
        ...

    def get_workflow(self, workflow: int) -> Verb[WorkflowRecord | None]:
        """One workflow, without its jobs."""
        ...

    def list_workflows(
        self, name: str | None, is_finished: bool | None, limit: int, before: int | None
    ) -> Verb[list[WorkflowRecord]]:
        """The newest matching workflows with an id below ``before``."""
        ...

    def find_standing_workflows(self, limit: int, most_jobs: int | None = None) -> Verb[list[StandingWorkflow]]:
        """Workflows that stand still until a person acts, the oldest first: all their unfinished jobs wait for a job
        that is dead or was cancelled.

        Only the thousand oldest unfinished workflows with such a job are looked at.

        :param most_jobs: leave out workflows with more unfinished jobs, because each of these is looked at.
        """
        ...

    def list_workflow_jobs(self, workflow: int, limit: int, after: int) -> Verb[list[WorkflowJobRecord]]:
        """Its jobs with an id above ``after``, the oldest first."""
        ...

    def list_workflow_edges(self, jobs: Sequence[int]) -> Verb[list[tuple[int, int]]]:
        """The edges that lead to these jobs, as dependency and dependant."""
        ...

    def list_workflow_results(self, workflow: int) -> Verb[list[tuple[str, str, str | None]]]:
        """Name, task and stored result of its completed jobs that have a name."""
        ...

    def prune_workflows(self, history: int | None, limit: int) -> Verb[int]:
        """Remove a portion of the workflows that ended ``history`` microseconds ago or earlier and have no dead letter;
        how many rows.
        """
        ...
