"""Jobs that were added to a workflow."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from heapq import merge
from itertools import groupby
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, cast

from turnspit.errors import ConfigurationError
from turnspit.placeholders import Placeholder, used_in
from turnspit.records import NewJob

__all__ = ["AddedJob", "Numbered", "PlannedJob", "PlannedJobs", "sorted_by_dependencies", "used_jobs"]

R = TypeVar("R")


class Numbered(Protocol):
    """A workflow whose jobs are numbered in the order in which they were added."""

    def id_of(self, number: int) -> int:
        """The id of a job; 0 where there is none."""
        ...

    @property
    def created(self) -> bool:
        """Whether its jobs are its own: ``False`` if an earlier workflow holds its idempotency key."""
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
        if not job and not self.flow.created:
            raise ConfigurationError(
                f"the job of {self.task} was not stored, since an earlier workflow holds the idempotency key: give the "
                "job a name, by which it is found there"
            )
        if not job:
            raise ConfigurationError(f"the job of {self.task} is not stored before the with block has ended")
        return job

    @property
    def result(self) -> R:
        """What it will return, as an argument of another job of this workflow, which then waits for it. A field or an
        item of it can be an argument too.
        """
        return cast("R", Placeholder(self.task, self))

    def __repr__(self) -> str:
        return f"<job of {self.task}: give its .result>"


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


class AddedJob(NamedTuple):
    """A job that was added and is not stored yet."""

    number: int
    job: NewJob[Any]
    name: str | None
    after: set[int | str]
    groups: tuple[range, ...]
    """Ranges of jobs that were added together, for all of which it waits: so a million take no memory."""
    before: tuple[str, ...]
    on_failure: str

    @property
    def most_edges(self) -> int:
        """How many jobs it waits for; a job that was named twice counts twice."""
        return len(self.after) + sum(map(len, self.groups))

    def numbers(self) -> Iterator[int]:
        """The numbers of the jobs that it waits for, in order."""
        single = sorted(job for job in self.after if isinstance(job, int))
        return (job for job, _ in groupby(merge(single, *self.groups)))

    def names(self) -> list[str]:
        """The names of the jobs that it waits for and that are known only by name."""
        return sorted(job for job in self.after if isinstance(job, str))


def sorted_by_dependencies(jobs: list[AddedJob], flow: str) -> list[AddedJob]:
    """The jobs, in an order in which each comes after those that it waits for.

    :param jobs: numbered without gaps, in their order.
    :param flow: what the error message calls the workflow.
    :raises ConfigurationError: if some wait for each other.
    """
    if all(_is_behind_its_dependencies(each) for each in jobs):
        return jobs
    first = jobs[0].number
    waits = {each.number: [number for number in each.numbers() if number >= first] for each in jobs}
    try:
        return [jobs[number - first] for number in TopologicalSorter(waits).static_order()]
    except CycleError as error:
        names_of = {each.number: each.name or f"the job of {each.job.task}" for each in jobs}
        path = " waits for ".join(names_of[number] for number in reversed(error.args[1]))
        raise ConfigurationError(f"{flow} goes round in a circle: {path}") from None


def _is_behind_its_dependencies(job: AddedJob) -> bool:
    singly = all(isinstance(each, str) or each < job.number for each in job.after)
    return singly and all(not group or group[-1] < job.number for group in job.groups)


def used_jobs(new: NewJob[Any]) -> Iterator[Any]:
    """The jobs whose results are arguments of a new one."""
    for template in (new.results or {}).values():
        yield from used_in(template)
