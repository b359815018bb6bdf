"""Many jobs, a part at a time."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from itertools import islice
from typing import Any

from turnspit.errors import ConfigurationError
from turnspit.records import NewJob

__all__ = ["achunks", "chunks"]


def chunks(jobs: Iterable[NewJob[Any]], size: int) -> Iterator[list[NewJob[Any]]]:
    """Jobs in lists of ``size``, made as they are asked for.

    :raises ConfigurationError: for a size that is none, or what is no job.
    """
    _check_size(size)
    iterator = iter(jobs)
    while part := list(islice(iterator, size)):
        yield _checked(part)


async def achunks(
    jobs: Iterable[NewJob[Any]] | AsyncIterable[NewJob[Any]], size: int
) -> AsyncIterator[list[NewJob[Any]]]:
    """``chunks`` for async code; also of an async iterable."""
    if not isinstance(jobs, AsyncIterable):
        for part in chunks(jobs, size):
            yield part
        return
    _check_size(size)
    part = []
    async for job in jobs:
        part.append(job)
        if len(part) == size:
            yield _checked(part)
            part = []
    if part:
        yield _checked(part)


def _check_size(size: int) -> None:
    if not isinstance(size, int) or size < 1:
        raise ConfigurationError(f"chunk is a whole number of at least 1, not {size!r}")


def _checked(part: list[NewJob[Any]]) -> list[NewJob[Any]]:
    for job in part:
        if not isinstance(job, NewJob):
            raise ConfigurationError(f"enqueue_many takes what task.new(...) returns, not {job!r}")
        if job.results:
            raise ConfigurationError(f"a job of {job.task} takes the result of another one: add it to that workflow")
    return part
