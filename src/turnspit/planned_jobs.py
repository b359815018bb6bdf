"""Jobs that were added to a workflow."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

from turnspit.errors import ConfigurationError
from turnspit.placeholders import Placeholder, used_in
from turnspit.records import NewJob

__all__ = ["Numbered", "PlannedJob", "PlannedJobs", "parts_used", "used_jobs"]

R = TypeVar("R")


class Numbered(Protocol):
    """A workflow whose jobs are numbered in the order in which they were added."""

    def id_of(self, number: int) -> int:
        """The id of a job; 0 before it is stored."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PlannedJob(Generic[R]):
    """A job that was added to a workflow."""

    flow: Numbered
    number: int
    task: str

    @property
    def id(self) -> int:
        """The job's id.

        :raises ConfigurationError: inside the ``with`` block, where it is not stored yet.
        """
        job = self.flow.id_of(self.number)
        if not job:
            raise ConfigurationError(f"the job of {self.task} is not stored before the with block has ended")
        return job

    @property
    def result(self) -> R:
        """What it will return, as an argument of another job of this workflow, which then waits for it. A field or an
        item of it can be an argument too.
        """
        return cast("R", Placeholder(self.task, self))


class PlannedJobs(Sequence[PlannedJob[R]]):
    """Jobs that were added together: a sequence, and as a whole what another job can wait for."""

    def __init__(self, flow: Numbered, first: int, count: int, task: str) -> None:
        self.flow = flow
        self.numbers = range(first, first + count)
        self._task = task

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        return PlannedJob(self.flow, self.numbers[place], self._task)

    @property
    def results(self) -> list[R]:
        """What they will return, as an argument of another job."""
        return [job.result for job in self]


def parts_used(template: Any) -> Iterator[tuple[Any, list[str | int]]]:
    """The jobs whose results a template uses, and which part of each."""
    match template:
        case ["result", job, path]:
            yield job, path
        case ["list", parts]:
            for part in parts:
                yield from parts_used(part)
        case ["dict", parts]:
            for part in parts.values():
                yield from parts_used(part)


def used_jobs(new: NewJob[Any]) -> Iterator[Any]:
    """The jobs whose results are arguments of a new one."""
    for template in (new.results or {}).values():
        yield from used_in(template)
