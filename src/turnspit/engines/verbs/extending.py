"""Adds jobs to a workflow, while it is built and while it runs."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from turnspit.contract.verbs import Row, Statement, Verb, Wake, WakeKind
from turnspit.engines.verbs.additions import Addition
from turnspit.engines.verbs.ends import End, EndVerbs, Outcome
from turnspit.engines.verbs.rows import has_a_time, left_out, to_json
from turnspit.errors import LostClaim, MoveNotAllowed
from turnspit.records import NewJob, NewWorkflowJob
from turnspit.states import JobState

__all__ = ["ExtendVerbs"]

_NODE = ("job", "workflow", "name", "waits_for", "on_failure", "delay", "results", "is_used")
_EDGE = ("dependency", "dependant", "on_failure")
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
        addition = yield from self._look_up(workflow, jobs, is_repeatable=by is not None)
        ended = yield from self._look_at_dependencies(workflow, addition.stored_dependencies())
        on_failure = yield from self._lock_nodes(workflow, addition, {dependant for _, dependant in edges})
        is_building = yield from self._lock_workflow(workflow)
        yield from self._refuse_circles(addition)  # under that lock: two calls may close one together
        # All that can be refused has been: the transaction may be the caller's, who catches the error and commits.
        yield from self._add(workflow, addition, is_building=is_building)
        yield from self._hold_up(addition.edges_to_stored() | set(edges), on_failure)
        yield Statement(self.sql["extend_workflow_count"], {"workflow": workflow, "count": len(addition.new)})
        if ended:
            yield from self.follow_ends([End(job, outcome) for job, outcome in sorted(ended.items())])
        yield Wake(WakeKind.READY)
        return [job.id for job in addition.jobs]

    def _workflow_of(self, by: tuple[int, int]) -> Verb[int]:
        rows = yield Statement(self.sql["extend_workflow"], {"id": by[0], "fence": by[1]})
        if not rows:
            raise LostClaim(f"job {by[0]} is not this worker's any more: nothing was added to its workflow")
        if rows[0][0] is None:
            raise MoveNotAllowed(f"job {by[0]} belongs to no workflow: it can add no jobs to it")
        return int(rows[0][0])

    def _look_up(self, workflow: int, jobs: Sequence[NewWorkflowJob], *, is_repeatable: bool) -> Verb[Addition]:
        """Find the stored jobs that are given by name and, if the call may be a repetition, those of its own."""
        own = {each.name for each in jobs if each.name is not None} if is_repeatable else set()
        named = {job for each in jobs for job in (*each.after, *each.before) if isinstance(job, str)}
        found: dict[str, int] = {}
        if own or named:
            params = {"workflow": workflow, "names": to_json(sorted(own | named))}
            found = dict((yield Statement(self.sql["extend_workflow_named"], params)))
        missing = sorted(named - set(found))
        if missing:
            raise MoveNotAllowed(f"workflow {workflow} has no job named {missing[0]!r}")
        return Addition(jobs, found, own)

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

    def _refuse_circles(self, addition: Addition) -> Verb[None]:
        chains = addition.chains()
        if not chains:
            return
        before = to_json(sorted({origin for origin, _ in chains}))
        ids = to_json(sorted({job for _, job in chains}))
        for origin, job in (yield Statement(self.sql["extend_workflow_reaches"], {"before": before, "ids": ids})):
            if (origin, job) in chains:
                raise MoveNotAllowed(f"a job between {job} and {origin} would close a circle: {job} waits for {origin}")

    def _lock_nodes(self, workflow: int, addition: Addition, dependants: set[int]) -> Verb[dict[int, str]]:
        """Lock what the workflow knows of stored jobs that are to wait for further ones, or whose results are used: on
        the failure of a dependency, what becomes of each.

        :param dependants: those that wait for more by an edge that is given by itself.
        """
        held_up = dependants | addition.held_up()
        ids = held_up.union(addition.stored_used())
        if not ids:
            return {}
        params = {"ids": to_json(sorted(ids)), "workflow": workflow}
        on_failure: dict[int, str] = dict((yield Statement(self.sql["extend_workflow_lock_nodes"], params)))
        if held_up:
            waiting = yield Statement(self.sql["extend_workflow_waiting"], {"ids": to_json(sorted(held_up))})
            late = sorted(held_up - ({job for (job,) in waiting} & on_failure.keys()))
            if late:
                raise MoveNotAllowed(
                    f"job {late[0]} of workflow {workflow} does not wait any more, or is no job of it: no new job can "
                    "come before it; name a job that waits for the one that adds"
                )
        return on_failure

    def _lock_workflow(self, workflow: int) -> Verb[bool]:
        """Lock the workflow, if it takes more jobs: whether it is not sealed yet."""
        found = yield Statement(self.sql["extend_workflow_lock_workflow"], {"workflow": workflow})
        if not found:
            raise MoveNotAllowed(f"there is no workflow {workflow}")
        [(is_building, is_cancelled, is_finished)] = found
        if is_cancelled or is_finished:
            what = "was cancelled" if is_cancelled else "has ended"
            raise MoveNotAllowed(f"workflow {workflow} {what}: it takes no more jobs")
        return bool(is_building)

    def _add(self, workflow: int, addition: Addition, *, is_building: bool) -> Verb[None]:
        # Jobs of a workflow that is not sealed yet are made ready by whoever seals it.
        rows = [(job.given.job, is_building or bool(job.given.after)) for job in addition.new]
        if rows:
            ids = yield from self.store_workflow_jobs(workflow, rows)
            if len(ids) < len(rows):
                raise left_out(job.task for job, _ in rows)
            addition.store_as(ids)
            if any(has_a_time(job) for job, _ in rows):
                yield Wake(WakeKind.SCHEDULED)
        yield from self.store_rows("extend_workflow_nodes", _NODE, addition.nodes(workflow))
        yield from self.store_rows("extend_workflow_edges", _EDGE, addition.edges())
        used = addition.stored_used()
        if used:
            yield Statement(self.sql["extend_workflow_used"], {"ids": to_json(used)})

    def _hold_up(self, edges: set[tuple[int, int]], on_failure: Mapping[int, str]) -> Verb[None]:
        """Let stored jobs wait for further ones."""
        counts = Counter(dependant for _, dependant in edges)
        if not counts:
            return
        lines = to_json({"job": job, "count": count} for job, count in sorted(counts.items()))
        yield Statement(self.sql["extend_workflow_before"], {"counts": lines})
        stored = [(dependency, dependant, on_failure[dependant]) for dependency, dependant in sorted(edges)]
        yield from self.store_rows("extend_workflow_edges", _EDGE, stored)
