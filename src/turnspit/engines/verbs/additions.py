"""The jobs of one ``extend_workflow`` call, and the rows that are stored of them. No store is asked here."""

import json
from collections.abc import Collection, Mapping, Sequence

from turnspit.contract.verbs import Row
from turnspit.engines.verbs.results import used_jobs
from turnspit.placeholders import renamed
from turnspit.records import NewWorkflowJob

__all__ = ["Addition", "Node"]


class Node:
    """A job of the call: a new one, or one that an earlier attempt of the job that adds them has stored."""

    __slots__ = ("after", "after_stored", "before_stored", "given", "id", "is_new")

    def __init__(self, given: NewWorkflowJob, stored: int | None) -> None:
        self.given = given
        self.is_new = stored is None
        self.id = stored or 0
        """0 until it is stored."""
        self.after: set[Node] = set()
        """The jobs of the call for which it waits."""
        self.after_stored: set[int] = set()
        """The stored jobs for which it waits, unless they are of the call."""
        self.before_stored: set[int] = set()
        """The stored jobs that are to wait for it."""

    def dependencies(self) -> list[int]:
        """The ids of the jobs for which it waits, once all are stored."""
        return sorted(self.after_stored | {job.id for job in self.after})


class Addition:
    """The jobs of the call, in its order.

    :param found: ids of stored jobs by name.
    :param own: the names in ``found`` under which jobs of this call may be stored already.
    """

    def __init__(self, jobs: Sequence[NewWorkflowJob], found: Mapping[str, int], own: Collection[str]) -> None:
        self.jobs = [Node(given, found.get(given.name or "") if given.name in own else None) for given in jobs]
        self.new = [job for job in self.jobs if job.is_new]
        for job in self.jobs:
            for each in job.given.after:
                if isinstance(each, str):
                    job.after_stored.add(found[each])
                elif each > 0:
                    job.after_stored.add(each)
                else:
                    job.after.add(self.jobs[-each - 1])
            job.before_stored = {found[each] if isinstance(each, str) else each for each in job.given.before}

    def store_as(self, ids: Sequence[int]) -> None:
        """Note the ids under which the new jobs were stored."""
        for job, stored in zip(self.new, ids, strict=True):
            job.id = stored

    def stored_dependencies(self) -> list[int]:
        """The stored jobs for which new ones wait."""
        ids = {each for job in self.new for each in job.after_stored}
        return sorted(ids | {each.id for job in self.new for each in job.after if not each.is_new})

    def held_up(self) -> set[int]:
        """The stored jobs that are to wait for new ones."""
        named = {later for job in self.new for later in job.before_stored}
        return named | {job.id for job in self.jobs if not job.is_new and any(each.is_new for each in job.after)}

    def chains(self) -> set[tuple[int, int]]:
        """``(a, b)`` of stored jobs: by way of jobs of the call, a is to wait for b."""
        behind: dict[Node, set[int]] = {}
        chains: set[tuple[int, int]] = set()
        for job in self.jobs:
            behind[job] = job.after_stored.union(*(behind.get(each, ()) for each in job.after))
            chains |= {(later, earlier) for later in job.before_stored for earlier in behind[job]}
        return chains

    def nodes(self, workflow: int) -> list[Row]:
        """Rows of the new jobs, with what a workflow knows of each."""
        used = self._used()
        return [
            (
                job.id,
                workflow,
                job.given.name,
                len(job.dependencies()),
                job.given.on_failure,
                job.given.job.delay,
                self._results(job),
                int(job.id in used),
            )
            for job in self.new
        ]

    def _results(self, job: Node) -> str | None:
        spec = job.given.results
        if spec is None:
            return None
        made = {name: renamed(template, self._id) for name, template in spec["arguments"].items()}
        return json.dumps({"limit": spec["limit"], "arguments": made})

    def _id(self, job: int) -> int:
        """The id of a job that may be given as -1, -2 and so on."""
        return job if job > 0 else self.jobs[-job - 1].id

    def edges(self) -> list[Row]:
        """Rows of the edges that lead to new jobs."""
        return [(dependency, job.id, job.given.on_failure) for job in self.new for dependency in job.dependencies()]

    def edges_to_stored(self) -> set[tuple[int, int]]:
        """The edges that lead from new jobs to stored ones: to those that a new job names in ``before``, and to jobs of
        the call that were stored before.
        """
        named = {(job.id, later) for job in self.new for later in job.before_stored}
        stored = [job for job in self.jobs if not job.is_new]
        return named | {(each.id, job.id) for job in stored for each in job.after if each.is_new}

    def stored_used(self) -> list[int]:
        """The stored jobs whose results the new ones use."""
        return sorted(self._used() - {job.id for job in self.new})

    def _used(self) -> set[int]:
        """The jobs whose results the new ones use."""
        specs = (job.given.results for job in self.new if job.given.results is not None)
        return {self._id(job) for spec in specs for job in used_jobs(spec)}
