"""Workflows: jobs that wait for jobs.

Each job counts how many of its dependencies it still waits for. The transaction that ends a job settles its edges and
makes those ready that wait for nothing more: it costs what its own dependants cost, however large the workflow is.
"""

from collections.abc import Sequence
from typing import Protocol

from turnspit.contract.verbs import Verb
from turnspit.records import NewWorkflow, NewWorkflowJob, WorkflowJobRecord, WorkflowRecord

__all__ = ["Workflows"]


class Workflows(Protocol):
    """The verbs of workflows. What the end of a job means for them is part of the verbs that end it."""

    def insert_workflow(self, new: NewWorkflow, *, is_sealed: bool) -> Verb[int]:
        """Store a workflow without jobs; its id. Until it is sealed, none of its jobs runs: so many transactions may
        fill it. One that is not sealed within a day is cancelled.
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
        """Add jobs: their ids in the order given. What they wait for is either theirs or part of the workflow.

        A dependency that has ended counts as such, whenever it did: its end and the new edge never miss each other.

        :param edges: ``(a, b)``: of jobs that are stored, b waits for a too. Only before the workflow is sealed, where
            one job waits for more than one call should store.
        :param by: ``(id, fence)`` of the running job that adds them to its own workflow. A job of a name that is
            there already is found instead, so that another attempt adds nothing twice.
        :raises LostClaim: if that claim is not current.
        :raises MoveNotAllowed: if a dependency is not part of the workflow, a job of ``before`` does not wait any more,
            the edges would close a circle, or the workflow has ended or was cancelled.
        """
        ...

    def seal_workflow(self, workflow: int) -> Verb[None]:
        """All is stored: begin with those that wait for nothing; now a portion, by ``tend_workflows`` the rest."""
        ...

    def cancel_workflow(self, workflow: int, reason: str, limit: int) -> Verb[int | None]:
        """Cancel what waits in it and request the end of what runs, at most ``limit`` jobs a call: how many. From the
        first call on nothing of it begins. ``None`` if there is no such workflow, or it has ended.
        """
        ...

    def replay_workflow(self, workflow: int, after: int, limit: int, *, whole: bool) -> Verb[list[int]]:
        """Make the dead and cancelled jobs of it live again, the oldest with an id above ``after``: their ids. Each
        waits for those of its dependencies that are not done.

        With ``whole`` also those that completed: then it is not sealed until ``seal_workflow``, and every job waits for
        all its dependencies again.
        """
        ...

    def tend_workflows(self, limit: int) -> Verb[tuple[int, int | None]]:
        """Do what is left to do for workflows, a portion: how much there was, and microseconds until there is more.

        Large fan-outs go on here, workflows over their deadline are cancelled.
        """
        ...

    def get_workflow(self, workflow: int) -> Verb[WorkflowRecord | None]:
        """One workflow, without its jobs."""
        ...

    def list_workflows(
        self, name: str | None, is_finished: bool | None, limit: int, before: int | None
    ) -> Verb[list[WorkflowRecord]]:
        """The newest workflows that match, with an id below ``before``."""
        ...

    def list_workflow_jobs(self, workflow: int, limit: int, after: int) -> Verb[list[WorkflowJobRecord]]:
        """Its jobs with an id above ``after``, the oldest first."""
        ...

    def list_workflow_edges(self, jobs: Sequence[int]) -> Verb[list[tuple[int, int]]]:
        """Dependency and dependant of the edges that lead to these jobs."""
        ...

    def list_workflow_results(self, workflow: int) -> Verb[list[tuple[str, str, str | None]]]:
        """Name, task and stored result of its completed jobs that have a name."""
        ...

    def prune_workflows(self, history: int | None, limit: int) -> Verb[int]:
        """Forget workflows that ended ``history`` microseconds ago and have no dead letter, a portion: how much."""
        ...
