"""Workflows, read for screens and API."""

from turnspit.operations import Workflow, WorkflowJob
from turnspit.web.answer_cache import AnswerCache
from turnspit.web.models.workflows import (
    WorkflowDetails,
    WorkflowDocument,
    WorkflowEdge,
    WorkflowJobDocument,
    WorkflowsPage,
)
from turnspit.web.reading.jobs import JobReader
from turnspit.web.served import Served

__all__ = ["MOST_JOBS", "WorkflowReader"]

MOST_JOBS = 300
"""How many jobs of a workflow are shown at once."""

_NOW = 1.0
_FIELDS = tuple(name for name in WorkflowDocument.model_fields)


class WorkflowReader:
    """Reads workflows as documents."""

    def __init__(self, app: Served, cache: AnswerCache, jobs: JobReader) -> None:
        self._app = app
        self._cache = cache
        self._jobs = jobs

    async def list(self, *, name: str | None, finished: bool | None, limit: int, after: str | None) -> WorkflowsPage:
        """The newest workflows that match."""
        page = await self._app.workflows.alist(name=name, finished=finished, limit=limit, after=after)
        return WorkflowsPage(workflows=[WorkflowDocument(**_fields(each)) for each in page], next=page.next)

    async def get(self, workflow: int, after: int = 0) -> WorkflowDetails:
        """One workflow, with a page of its jobs.

        :raises WorkflowNotFound: if there is none.
        """
        return await self._cache.get(("workflow", workflow, after), _NOW, lambda: self._get(workflow, after))

    async def _get(self, workflow: int, after: int) -> WorkflowDetails:
        found = await self._app.workflows.aget(workflow, limit=MOST_JOBS, after=after)
        reasons = await self._jobs.reasons(found.jobs, workflow)
        return WorkflowDetails(
            **_fields(found),
            jobs=[_job(job, reasons.get(job.id)) for job in found.jobs],
            edges=[WorkflowEdge(job=job, dependant=dependant) for job, dependant in found.edges],
            next=found.next,
        )


def _fields(workflow: Workflow) -> dict[str, object]:
    return {name: getattr(workflow, name) for name in _FIELDS}


def _job(job: WorkflowJob, reason: str | None) -> WorkflowJobDocument:
    fields = {name: getattr(job, name) for name in WorkflowJobDocument.model_fields}
    return WorkflowJobDocument(**fields | {"reason": reason})
