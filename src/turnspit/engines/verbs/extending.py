"""Adds jobs to a workflow, while it is built and while it runs."""

import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from turnspit.contract.verbs import Row, Statement, Verb, Wake, WakeKind
from turnspit.engines.verbs.ends import End, EndVerbs, Outcome
from turnspit.engines.verbs.results import used_jobs
from turnspit.engines.verbs.rows import has_a_time, to_json
from turnspit.errors import LostClaim, MoveNotAllowed
from turnspit.placeholders import renamed
from turnspit.records import NewJob, NewWorkflowJob, WorkflowRecord
from turnspit.states import JobState

__all__ = ["ExtendVerbs"]

_ENDED = {JobState.COMPLETED, JobState.CANCELLED, JobState.DEAD}


class ExtendVerbs(EndVerbs):
    """Adding jobs, and edges between them."""

    @abstractmethod
    def check_new(self, new: NewJob[Any]) -> None:
        """Refuse a job that the engine could not store."""

    @abstractmethod
    def store_workflow_jobs(self, workflow: int, new: Sequence[tuple[NewJob[Any], bool]]) -> Verb[list[int]]:
        """Store jobs of a workflow, blocked or not; their ids in the order given."""

    @abstractmethod
    def store_rows(self, block: str, columns: Sequence[str], rows: Sequence[Row]) -> Verb[None]:
        """Run a block that stores many rows."""

    def extend_workflow(
        self,
        workflow: int | None,
        jobs: Sequence[NewWorkflowJob],
        *,
        edges: Sequence[tuple[int, int]] = (),
        by: tuple[int, int] | None = None,
    ) -> Verb[list[int]]:
        for each in jobs:
            self.check_new(each.job)
        if by is not None:
            workflow = yield from self._workflow_of(by)
        assert workflow is not None
        own = {each.name for each in jobs if each.name is not None} if by is not None else set()
        named = {job for each in jobs for job in (*each.after, *each.before) if isinstance(job, str)}
        found: dict[str, int] = {}
        if own or named:
            params = {"workflow": workflow, "names": to_json(sorted(own | named))}
            found = dict((yield Statement(self.sql["extend_workflow_named"], params)))
        missing = sorted(named - set(found))
        if missing:
            raise MoveNotAllowed(f"workflow {workflow} has no job named {missing[0]!r}")
        addition = _Addition(jobs, found, own)
        ended = yield from self._look_at_dependencies(workflow, addition.outside)
        yield from self._refuse_circles(addition)
        yield from self._add(workflow, addition)
        yield from self._hold_up(workflow, addition.before_stored() | set(edges))
        params = {"workflow": workflow, "count": len(addition.new)}
        [(is_cancelled, is_finished)] = yield Statement(self.sql["extend_workflow_count"], params)
        if is_cancelled or is_finished:
            what = "was cancelled" if is_cancelled else "has ended"
            raise MoveNotAllowed(f"workflow {workflow} {what}: it takes no more jobs")
        if ended:
            yield from self.follow_ends([End(job, outcome) for job, outcome in sorted(ended.items())])
        yield Wake(WakeKind.READY)
        if any(each.job.delay or each.job.at is not None for each in jobs):
            yield Wake(WakeKind.SCHEDULED)
        return addition.ids

    def _workflow_of(self, by: tuple[int, int]) -> Verb[int]:
        rows = yield Statement(self.sql["extend_workflow"], {"id": by[0], "fence": by[1]})
        if not rows:
            raise LostClaim(f"job {by[0]} is not this worker's any more: nothing was added to its workflow")
        if rows[0][0] is None:
            raise MoveNotAllowed(f"job {by[0]} belongs to no workflow: it can add no jobs to it")
        return int(rows[0][0])

    def _look_at_dependencies(self, workflow: int, jobs: Sequence[int]) -> Verb[dict[int, Outcome]]:
        """Lock those dependencies that still live; the outcomes of the others."""
        if not jobs:
            return {}
        ids = to_json(sorted(jobs))
        live: dict[int, str] = dict((yield Statement(self.sql["extend_workflow_lock"], {"ids": ids})))
        final: dict[int, str | None] = dict(
            (yield Statement(self.sql["extend_workflow_ended"], {"ids": ids, "workflow": workflow}))
        )
        strangers = [job for job in jobs if job not in final]
        if strangers:
            raise MoveNotAllowed(f"job {strangers[0]} is not part of workflow {workflow}: no job of it can wait for it")
        states = {job: live.get(job) or final[job] for job in jobs}
        gone = [job for job, state in states.items() if state is None]
        if gone:
            raise MoveNotAllowed(f"job {gone[0]} of workflow {workflow} was deleted or pruned: no job can wait for it")
        return {job: Outcome(state) for job, state in states.items() if state in _ENDED}

    def _refuse_circles(self, addition: "_Addition") -> Verb[None]:
        pairs = addition.outside_pairs()
        if not pairs:
            return
        before = to_json(sorted({origin for origin, _ in pairs}))
        ids = to_json(sorted({job for _, job in pairs}))
        for origin, job in (yield Statement(self.sql["extend_workflow_reaches"], {"before": before, "ids": ids})):
            if (origin, job) in pairs:
                raise MoveNotAllowed(f"a job between {job} and {origin} would close a circle: {job} waits for {origin}")

    def _add(self, workflow: int, addition: "_Addition") -> Verb[None]:
        new = addition.new
        waiting = [bool(addition.jobs[place].after) for place in new]
        # Jobs of a workflow that is not sealed yet are made ready by whoever seals it.
        found = yield Statement(self.sql["get_workflow"], {"workflow": workflow})
        if not found:
            raise MoveNotAllowed(f"there is no workflow {workflow}")
        is_building = WorkflowRecord(*found[0]).sealed_at is None
        rows = [
            (addition.jobs[place].job, is_waiting or is_building)
            for place, is_waiting in zip(new, waiting, strict=True)
        ]
        if rows:
            addition.name((yield from self.store_workflow_jobs(workflow, rows)))
            if any(has_a_time(job) for job, _ in rows):
                yield Wake(WakeKind.SCHEDULED)
        yield from self.store_rows("extend_workflow_nodes", _NODE, addition.nodes(workflow))
        yield from self.store_rows("extend_workflow_edges", _EDGE, addition.edges())
        used = addition.used_outside()
        if used:
            yield Statement(self.sql["extend_workflow_used"], {"ids": to_json(used)})

    def _hold_up(self, workflow: int, edges: set[tuple[int, int]]) -> Verb[None]:
        """Let stored jobs wait for further ones."""
        counts = Counter(dependant for _, dependant in edges)
        if not counts:
            return
        lines = to_json({"job": job, "count": count} for job, count in sorted(counts.items()))
        rows = yield Statement(self.sql["extend_workflow_before"], {"counts": lines, "workflow": workflow})
        waiting = yield Statement(self.sql["extend_workflow_waiting"], {"ids": to_json(sorted(counts))})
        late = sorted(set(counts) - ({job for job, _ in rows} & {job for (job,) in waiting}))
        if late:
            raise MoveNotAllowed(
                f"job {late[0]} of workflow {workflow} does not wait any more, or is no job of it: no new job can come "
                "before it; name a job that waits for the one that adds"
            )
        on_failure: dict[int, str] = dict(rows)
        stored = [(dependency, dependant, on_failure[dependant]) for dependency, dependant in sorted(edges)]
        yield from self.store_rows("extend_workflow_edges", _EDGE, stored)


_NODE = ("job", "workflow", "name", "waits_for", "on_failure", "delay", "results", "is_used")
_EDGE = ("dependency", "dependant", "on_failure")


class _Addition:
    """The jobs of one call, some of which may be stored already.

    They are addressed by their place in the call. A negative number -1, -2, ... means the first, second, ... job of the
    call; a positive one is the id of a stored job.
    """

    def __init__(self, jobs: Sequence[NewWorkflowJob], found: Mapping[str, int], own: Collection[str]) -> None:
        self.jobs = jobs
        self._found = found
        self.ids = [found.get(each.name or "", 0) if each.name in own else 0 for each in jobs]
        self.new = [place for place, job in enumerate(self.ids) if not job]
        self._after = [self._numbers(each.after) for each in jobs]
        self.before = [self._numbers(each.before) for each in jobs]
        after = {job for place in self.new for job in self._after[place]}
        self.outside = sorted({job if job > 0 else self.ids[-job - 1] for job in after} - {0})

    def name(self, ids: Sequence[int]) -> None:
        """Note the ids under which the new jobs were stored."""
        for place, job in zip(self.new, ids, strict=True):
            self.ids[place] = job

    def _numbers(self, jobs: Iterable[int | str]) -> set[int]:
        return {self._found[job] if isinstance(job, str) else job for job in jobs}

    def _id(self, job: int) -> int:
        return job if job > 0 else self.ids[-job - 1]

    def after(self, place: int) -> list[int]:
        """The ids of the jobs for which one waits."""
        return sorted({self._id(job) for job in self._after[place]})

    def nodes(self, workflow: int) -> list[Row]:
        """Rows of the new jobs, with what a workflow knows of each."""
        used = {job for place in self.new for job in self._uses(place)}
        return [
            (
                self.ids[place],
                workflow,
                self.jobs[place].name,
                len(self.after(place)),
                self.jobs[place].on_failure,
                self.jobs[place].job.delay,
                self._results(place),
                int(self.ids[place] in used),
            )
            for place in self.new
        ]

    def _uses(self, place: int) -> Iterable[int]:
        spec = self.jobs[place].results
        return () if spec is None else {self._id(job) for job in used_jobs(spec)}

    def _results(self, place: int) -> str | None:
        spec = self.jobs[place].results
        if spec is None:
            return None
        made = {name: renamed(template, self._id) for name, template in spec["arguments"].items()}
        return json.dumps({"limit": spec["limit"], "arguments": made})

    def edges(self) -> list[Row]:
        """Rows of the edges that lead to new jobs."""
        return [
            (dependency, self.ids[place], self.jobs[place].on_failure)
            for place in self.new
            for dependency in self.after(place)
        ]

    def used_outside(self) -> list[int]:
        """Jobs that were stored before and whose results the new ones use."""
        new = {self.ids[place] for place in self.new}
        return sorted({job for place in self.new for job in self._uses(place)} - new)

    def before_stored(self) -> set[tuple[int, int]]:
        """Edges to jobs that were stored before: to those that a new job names in ``before``, and to jobs of this call
        that were found stored, but are to wait for a new one.
        """
        new = set(self.new)
        named = {(self.ids[place], job) for place in new for job in self.before[place]}
        found = {
            (self.ids[-job - 1], self.ids[place])
            for place in set(range(len(self.jobs))) - new
            for job in self._after[place]
            if -job - 1 in new
        }
        return named | found

    def outside_pairs(self) -> set[tuple[int, int]]:
        """``(a, b)`` of jobs that were stored before: by way of new jobs, a is to wait for b."""
        reached: dict[int, set[int]] = {}
        pairs: set[tuple[int, int]] = set()
        for place, after in enumerate(self._after):
            behind = {job for job in after if job > 0}
            for job in after:
                behind |= reached.get(-job - 1, set()) if job < 0 else set()
            reached[place] = behind
            pairs |= {(later, earlier) for later in self.before[place] for earlier in behind}
        return pairs
