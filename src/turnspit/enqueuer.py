"""How tasks reach the store."""

from collections.abc import AsyncIterable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from turnspit.jobs import Job
from turnspit.limits import Limit
from turnspit.records import NewJob

__all__ = ["Enqueuer"]

R = TypeVar("R")


class Enqueuer(Protocol):
    """How a task reaches the store; bound when its app includes it."""

    @property
    def max_payload(self) -> int: ...

    def enqueue(self, new: NewJob[R], tx: object | None = None) -> Job[R]: ...

    async def aenqueue(self, new: NewJob[R], tx: object | None = None) -> Job[R]: ...

    def store_map(self, jobs: Iterable[NewJob[Any]], name: str, tx: object | None) -> int: ...

    async def astore_map(
        self, jobs: Iterable[NewJob[Any]] | AsyncIterable[NewJob[Any]], name: str, tx: object | None
    ) -> int: ...

    def limits_of(self, queue: str) -> Sequence[tuple[str, Limit]]: ...
