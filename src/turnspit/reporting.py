"""Where a running job's progress, log lines and end go."""

from typing import Any, Protocol

from turnspit.errors import TurnspitError
from turnspit.records import Claim
from turnspit.workflows import WorkflowBuilder

__all__ = ["Reporter", "Silent"]


class Reporter(Protocol):
    """Where a context's progress and log lines go."""

    def report_progress(self, claim: Claim, progress: float, message: str | None, data: str | None) -> None:
        """Keep how far the job is; ``data`` is JSON."""
        ...

    def report_cursor(self, claim: Claim, cursor: str) -> None:
        """Keep how far the job's iterations are: JSON."""
        ...

    def report_log(self, claim: Claim, level: str, message: str) -> None:
        """Keep a log line with the job."""
        ...

    def finish_in(self, tx: object, claim: Claim, result: Any) -> None:
        """Complete the job inside the caller's transaction."""
        ...

    async def afinish_in(self, tx: object, claim: Claim, result: Any) -> None:
        """``finish_in`` for async code."""
        ...

    def extend_workflow(self, claim: Claim) -> WorkflowBuilder:
        """What adds jobs to the job's own workflow."""
        ...


class Silent:
    """Reports to nobody."""

    def report_progress(self, claim: Claim, progress: float, message: str | None, data: str | None) -> None:
        """A detached context reports to nobody."""

    def report_cursor(self, claim: Claim, cursor: str) -> None:
        """A detached context reports to nobody."""

    def report_log(self, claim: Claim, level: str, message: str) -> None:
        """A detached context reports to nobody."""

    def finish_in(self, tx: object, claim: Claim, result: Any) -> None:
        """A detached context has no job to complete."""

    async def afinish_in(self, tx: object, claim: Claim, result: Any) -> None:
        """A detached context has no job to complete."""

    def extend_workflow(self, claim: Claim) -> WorkflowBuilder:
        """A detached context has no workflow."""
        raise TurnspitError(f"{claim.task} was called outside a job, so it has no workflow to add jobs to")
