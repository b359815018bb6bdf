"""What every handler of the dashboard works with."""

import inspect
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import TypeAdapter

from turnspit.web.bulk import Bulk
from turnspit.web.changes import Changes
from turnspit.web.copying import CommandLine
from turnspit.web.models.answers import TaskDocument
from turnspit.web.reading.jobs import JobReader
from turnspit.web.reading.store import StoreReader
from turnspit.web.reading.workflows import WorkflowReader
from turnspit.web.redaction import Redaction
from turnspit.web.served import Served

__all__ = ["Site"]


@dataclass(frozen=True)
class Site:
    """One dashboard of one app."""

    app: Served
    title: str
    command_line: CommandLine
    redaction: Redaction
    jobs: JobReader
    store: StoreReader
    workflows: WorkflowReader
    changes: Changes
    bulk: Bulk

    @classmethod
    def of(
        cls, app: Served, *, title: str, command_line: CommandLine, names: Iterable[str], tasks: Iterable[str]
    ) -> "Site":
        """The site of an app.

        :param names: of fields that are redacted, and ``tasks`` of which everything is.
        """
        redaction = Redaction(names, tasks)
        jobs = JobReader(app, redaction)
        store = StoreReader(app, redaction, jobs)
        changes, bulk = Changes(app, store.shared), Bulk(app, jobs, store.shared)
        return cls(
            app, title, command_line, redaction, jobs, store, WorkflowReader(app, store.shared, jobs), changes, bulk
        )

    def tasks(self) -> list[TaskDocument]:
        """The tasks that the app declares."""
        return [
            TaskDocument(
                name=task.name,
                queue=task.queue,
                is_async=task.is_async,
                description=inspect.getdoc(task.function),
                args_schema=TypeAdapter(task.signature.arguments).json_schema(),
            )
            for task in self.app.tasks.tasks
        ]
