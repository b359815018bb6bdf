"""What every handler of the dashboard works with."""

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema

from turnspit.web.bulk import Bulk
from turnspit.web.changes import Changes
from turnspit.web.copying import CommandLine
from turnspit.web.models.answers import TaskDocument
from turnspit.web.reading.jobs import JobReader
from turnspit.web.reading.limits import LimitReader
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
    limits: LimitReader
    workflows: WorkflowReader
    changes: Changes
    bulk: Bulk

    @classmethod
    def of(
        cls, app: Served, *, title: str, command_line: CommandLine, names: Iterable[str], tasks: Iterable[str]
    ) -> "Site":
        """The site of an app.

        :param names: patterns of field names whose values are redacted.
        :param tasks: tasks of which everything is redacted.
        """
        redaction = Redaction(names, tasks)
        jobs = JobReader(app, redaction)
        store = StoreReader(app, redaction, jobs)
        changes, bulk = Changes(app, store.cache), Bulk(app, jobs, store.cache)
        limits, workflows = LimitReader(app, redaction, store.cache), WorkflowReader(app, store.cache, jobs)
        return cls(app, title, command_line, redaction, jobs, store, limits, workflows, changes, bulk)

    def tasks(self) -> list[TaskDocument]:
        """The tasks that the app declares."""
        return [
            TaskDocument(
                name=task.name,
                queue=task.queue,
                is_async=task.is_async,
                description=inspect.getdoc(task.function),
                args_schema=_schema_of(task.signature.arguments),
            )
            for task in self.app.tasks.tasks
        ]


def _schema_of(arguments: Any) -> dict[str, Any]:
    """JSON Schema of a task's arguments; of one whose type has none, that they are an object."""
    try:
        return TypeAdapter[Any](arguments).json_schema()
    except PydanticInvalidForJsonSchema:
        return {"type": "object"}
