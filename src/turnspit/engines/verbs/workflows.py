"""The verbs of ``contract/workflows.py``, on any engine. What follows from a job's end is in ``ends.py``."""

import json
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from turnspit.contract.verbs import Row, Statement, Verb, Wake, WakeKind
from turnspit.engines.verbs.ends import End, EndVerbs, Outcome, Tally
from turnspit.engines.verbs.extending import ExtendVerbs
from turnspit.engines.verbs.filters import LARGEST
from turnspit.engines.verbs.rows import to_json
from turnspit.jobs import JobFilter
from turnspit.keys import bounded
from turnspit.records import FoundWorkflow, NewWorkflow, StandingWorkflow, WorkflowJobRecord, WorkflowRecord
from turnspit.states import JobState

__all__ = ["WorkflowVerbs"]

_PORTION = 5000
_MOST_FAILED = 1000
_LATE = "over its deadline"
_ABANDONED = "its jobs were never completely stored"


class WorkflowVerbs(ExtendVerbs, EndVerbs):
    """Workflows as a whole."""

    @abstractmethod
    def cancel_jobs(self, filter_: JobFilter, reason: str, after: int, limit: int) -> Verb[list[tuple[int, JobState]]]:
        """Cancel waiting jobs, and request the end of running ones."""

    def find_workflow(self, name: str, idempotency_key: str, jobs: Sequence[str]) -> Verb[FoundWorkflow | None]:
        params = {"now": self.clock.now(), "name": name, "idempotency_key": idempotency_key}
        key = bounded(f"workflow {name} #{idempotency_key}")
        yield Statement(self.sql["find_workflow_lock"], params | {"key": key})
        found = yield Statement(self.sql["find_workflow"], params)
        if not found:
            return None
        [(workflow,)] = found
        named = yield Statement(self.sql["extend_workflow_named"], {"workflow": workflow, "names": to_json(jobs)})
        return FoundWorkflow(workflow, dict(named))

    def insert_workflow(self, new: NewWorkflow, *, is_sealed: bool) -> Verb[int]:
        for _, job in new.hooks:
            self.check_new(job)
        hooks = json.dumps([(name, job._asdict()) for name, job in new.hooks]) if new.hooks else None
        params = {"now": self.clock.now(), "name": new.name, "hooks": hooks, "deadline": new.deadline}
        params |= {"idempotency_key": new.idempotency_key}
        [(workflow,)] = yield Statement(self.sql["insert_workflow"], params | {"is_sealed": int(is_sealed)})
        if is_sealed and new.deadline is not None:
            yield Wake(WakeKind.WORKFLOW)
        return int(workflow)

    def seal_workflow(self, workflow: int) -> Verb[None]:
        params = {"now": self.clock.now(), "workflow": workflow}
        rows = yield Statement(self.sql["seal_workflow"], params)
        for _, is_ended, failed, hooks in rows:
            if is_ended:
                yield from self.end_workflow(workflow, bool(failed), hooks)
        if rows:
            yield from self._start(workflow, 0)

    def _start(self, workflow: int, after: int) -> Verb[int]:
        """Release a portion of a sealed workflow's jobs; how many were looked at."""
        params = {"now": self.clock.now(), "workflow": workflow, "after": after, "limit": _PORTION}
        rows = yield Statement(self.sql["seal_workflow_portion"], params)
        tally = Tally()
        ends = yield from self.release([job for job, waits_for in rows if not waits_for], tally)
        is_more = len(rows) == _PORTION
        yield Statement(self.sql["seal_workflow_started"], params | {"after": rows[-1][0] if is_more else None})
        yield from self.follow_ends(ends, tally)
        yield Wake(WakeKind.WORKFLOW)
        return len(rows)

    def cancel_workflow(self, workflow: int, reason: str, limit: int) -> Verb[int | None]:
        params = {"now": self.clock.now(), "workflow": workflow, "reason": reason}
        rows = yield Statement(self.sql["cancel_workflow"], params)
        if not rows:
            return None
        cancelled = yield from self.cancel_jobs(JobFilter(workflow=workflow), rows[0][0], 0, limit)
        if len(cancelled) < limit:
            yield Statement(self.sql["cancel_workflow_done"], params)
        yield Wake(WakeKind.WORKFLOW, (workflow,))
        return len(cancelled)

    def replay_workflow(self, workflow: int, after: int, limit: int, *, whole: bool) -> Verb[list[int]]:
        params = {"now": self.clock.now(), "workflow": workflow, "after": after, "limit": limit, "is_whole": int(whole)}
        if whole and not (yield Statement(self.sql["replay_workflow_ended"], params)):
            return []
        rows = yield Statement(self.sql["replay_workflow"], params)
        if whole and rows:
            yield Statement(self.sql["replay_workflow_whole"], params)
        if not rows:
            gone = (yield Statement(self.sql["replay_workflow_gone"], params)) if whole and after else []
            yield from self.follow_ends([End(job, Outcome.DELETED) for (job,) in gone])
            return []
        tally = Tally()
        dead = [job for job, state, _ in rows if state == JobState.DEAD]
        if dead:
            yield Statement(self.sql["replay_jobs_revive"], {"now": self.clock.now(), "ids": to_json(dead)})
        yield from self.restore_jobs([job for job, state, _ in rows if state != JobState.DEAD])
        ends = yield from self.revive_jobs(rows, tally, is_whole=whole)
        yield from self.follow_ends(ends, tally)
        yield Wake(WakeKind.READY)
        return [job for job, _, _ in rows]

    def tend_workflows(self, limit: int, refused: dict[str, str] | None = None) -> Verb[tuple[int, int | None]]:
        params: dict[str, Any] = {"now": self.clock.now(), "limit": limit}
        [(is_ours,)] = yield Statement(self.sql["tend_workflows"], {})
        done = 0
        if is_ours:
            rows = yield Statement(self.sql["tend_workflows_ends"], params)
            ends = [End(job, Outcome(outcome), after) for job, outcome, after in rows]
            done = yield from self._follow_kept(ends, refused)
            due = {f"workflow {row[0]}": row for row in (yield Statement(self.sql["tend_workflows_due"], params))}
            if refused is None:
                done += yield from self._tend(list(due.values()), limit)
            else:
                done += sum((yield from self.by_halves(lambda some: self._tend(some, limit), due, refused)))
        [(until_next,)] = yield Statement(self.sql["tend_workflows_next"], params)
        return done, until_next

    def _follow_kept(self, ends: list[End], refused: dict[str, str] | None) -> Verb[int]:
        """Do what follows from ends that were kept for later, and were just taken; how many it was."""
        if refused is None:
            if ends:
                yield from self.follow_ends(ends)
            return len(ends)

        def follow(some: list[End]) -> Verb[list[End]]:
            yield from self.follow_ends(some)
            return some

        done = yield from self.by_halves(follow, {f"the end of job {end.job}": end for end in ends}, refused)
        left = sorted(set(ends).difference(*done))
        if left:
            yield Statement(self.sql["follow_ends_keep"], {"ends": to_json(end._asdict() for end in left)})
        return len(ends) - len(left)

    def _tend(self, rows: list[Row], limit: int) -> Verb[int]:
        done = 0
        for row in rows:
            done += yield from self._tend_one(row, limit)
        return done

    def _tend_one(self, row: Row, limit: int) -> Verb[int]:
        workflow, is_sealed, starting_after, is_cancelled, is_late = row
        if is_cancelled or is_late or not is_sealed:
            cancelled = yield from self.cancel_workflow(workflow, _LATE if is_sealed else _ABANDONED, limit)
            return 1 + (cancelled or 0)
        if starting_after is not None:
            return 1 + (yield from self._start(workflow, starting_after))
        return 0

    def get_workflow(self, workflow: int) -> Verb[WorkflowRecord | None]:
        rows = yield Statement(self.sql["get_workflow"], {"workflow": workflow})
        return WorkflowRecord(*rows[0]) if rows else None

    def list_workflows(
        self, name: str | None, is_finished: bool | None, limit: int, before: int | None
    ) -> Verb[list[WorkflowRecord]]:
        params = {
            "name": name,
            "is_finished": None if is_finished is None else int(is_finished),
            "limit": limit,
            "before": LARGEST if before is None else before,
        }
        return [WorkflowRecord(*row) for row in (yield Statement(self.sql["list_workflows"], params))]

    def find_standing_workflows(self, limit: int, most_jobs: int | None = None) -> Verb[list[StandingWorkflow]]:
        most = LARGEST if most_jobs is None else most_jobs
        params = {"limit": limit, "most": _MOST_FAILED, "most_jobs": most}
        rows = yield Statement(self.sql["find_standing_workflows"], params)
        return [
            StandingWorkflow(flow, name, job, task, JobState(state), blocked)
            for flow, name, job, task, state, blocked in rows
        ]

    def list_workflow_jobs(self, workflow: int, limit: int, after: int) -> Verb[list[WorkflowJobRecord]]:
        params = {"workflow": workflow, "limit": limit, "after": after}
        rows = yield Statement(self.sql["list_workflow_jobs"], params)
        records = [WorkflowJobRecord(*row) for row in rows]
        for record in records:
            record.state = None if record.state is None else JobState(record.state)
        return records

    def list_workflow_edges(self, jobs: Sequence[int]) -> Verb[list[tuple[int, int]]]:
        rows = yield Statement(self.sql["list_workflow_edges"], {"ids": to_json(jobs)})
        return [(dependency, dependant) for dependency, dependant in rows]

    def list_workflow_results(self, workflow: int) -> Verb[list[tuple[str, str, str | None]]]:
        rows = yield Statement(self.sql["list_workflow_results"], {"workflow": workflow})
        return [(name, task, result) for name, task, result in rows]

    def prune_workflows(self, history: int | None, limit: int) -> Verb[int]:
        if history is None:
            return 0
        params: dict[str, Any] = {"now": self.clock.now(), "history": history, "limit": limit}
        old = [workflow for (workflow,) in (yield Statement(self.sql["prune_workflows"], params))]
        if not old:
            return 0
        params["ids"] = to_json(old)
        jobs = [job for (job,) in (yield Statement(self.sql["prune_workflows_jobs"], params))]
        yield Statement(self.sql["prune_workflows_edges"], {"ids": to_json(jobs)})
        yield Statement(self.sql["prune_workflows_remove"], params)
        return len(jobs) + len(old)
