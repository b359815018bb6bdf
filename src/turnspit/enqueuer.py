"""How tasks reach the store: a protocol, because the client that implements it stands above the tasks."""

from collections.abc import AsyncIterable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from turnspit.jobs import Job
from turnspit.limits import Limit
from turnspit.records import NewJob

__all__ = ["Enqueuer"]

R = TypeVar("R")


class Enqueuer(Protocol):
    """What a task needs of its app; it gets it when the app includes the task.

    ``tx`` is the caller's own transaction, in which the jobs are stored.
    """

    @property
    def max_payload(self) -> int:
        """Bytes of JSON that one job's arguments may take."""
        ...

    def enqueue(self, new: NewJob[R], tx: object | None = None) -> Job[R]:
        """Store one job."""
        ...

    async def aenqueue(self, new: NewJob[R], tx: object | None = None) -> Job[R]:
        """``enqueue`` for async code."""
        ...

    def store_map(self, jobs: Iterable[NewJob[Any]], name: str, tx: object | None) -> int:
        """Store the jobs of ``Task.map`` as a workflow of this name; its id."""
        ...

    async def astore_map(
        self, jobs: Iterable[NewJob[Any]] | AsyncIterable[NewJob[Any]], name: str, tx: object | None
    ) -> int:
        """``store_map`` for async code."""
        ...

    def limits_of(self, queue: str) -> Sequence[tuple[str, Limit]]:
        """The limits of a queue, each with its owner's name."""
        ...
