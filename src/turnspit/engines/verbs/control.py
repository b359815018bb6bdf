"""The verbs of ``contract/control.py``, on any engine."""

from turnspit.contract.verbs import Row, Statement, Verb, Wake, WakeKind
from turnspit.engines.verbs.ends import Tally
from turnspit.engines.verbs.filters import in_history, in_jobs
from turnspit.engines.verbs.jobs import JobVerbs
from turnspit.engines.verbs.rows import to_json
from turnspit.jobs import JobFilter
from turnspit.records import JobChanges
from turnspit.states import JobState

__all__ = ["ControlVerbs"]


class ControlVerbs(JobVerbs):
    """What a person does with jobs."""

    def cancel_jobs(self, filter_: JobFilter, reason: str, after: int, limit: int) -> Verb[list[tuple[int, JobState]]]:
        if not in_jobs(filter_):
            return []
        rows = yield self._select("cancel_jobs", filter_, after, limit)
        running = [job for job, state in rows if state == JobState.RUNNING]
        waiting = [job for job, state in rows if state != JobState.RUNNING]
        if running:
            params = {"now": self.clock.now(), "ids": to_json(running), "reason": reason}
            yield Statement(self.sql["cancel_jobs_request"], params)
            yield Wake(WakeKind.CANCEL)
        if waiting:
            yield from self.move_cancelled(waiting, reason)
        return [(job, JobState.RUNNING if state == JobState.RUNNING else JobState.CANCELLED) for job, state in rows]

    def replay_jobs(self, filter_: JobFilter, after: int, limit: int) -> Verb[list[tuple[int, JobState]]]:
        live, final = yield from self._oldest("replay_jobs", "replay_jobs_history", filter_, after, limit)
        refused = yield from self.refuse_taken_keys([row[0] for row in live + final])
        before = [row for row in live + final if row[0] not in refused]
        dead = [job for job, state, _ in before if state == JobState.DEAD]
        revived: list[Row] = []
        if dead:
            params = {"now": self.clock.now(), "ids": to_json(dead)}
            revived += yield Statement(self.sql["replay_jobs_revive"], params)
        revived += yield from self.restore_jobs([job for job, state, _ in before if state != JobState.DEAD])
        tally = Tally()
        yield from self.follow_ends((yield from self.revive_jobs(before, tally)), tally)
        if before:
            yield Wake(WakeKind.READY)
        return sorted([*((job, JobState(state)) for job, state, _ in revived), *refused.items()])

    def update_job(self, job_id: int, changes: JobChanges) -> Verb[JobState | None]:
        params = {
            "now": self.clock.now(),
            "id": job_id,
            "priority": changes.priority,
            "queue": changes.queue,
            "at": changes.at,
            "delay": changes.delay,
        }
        rows = yield Statement(self.sql["update_job"], params)
        if not rows:
            return None
        state = JobState(rows[0][0])
        yield Wake(WakeKind.SCHEDULED if state is JobState.SCHEDULED else WakeKind.READY)
        return state

    def run_jobs_now(self, filter_: JobFilter, after: int, limit: int) -> Verb[list[tuple[int, JobState]]]:
        if not in_jobs(filter_):
            return []
        waiting = yield self._select("run_jobs_now", filter_, after, limit)
        if not waiting:
            return []
        params = {"now": self.clock.now(), "ids": to_json([job for (job,) in waiting])}
        rows = yield Statement(self.sql["run_jobs_now_ready"], params)
        yield Wake(WakeKind.READY)
        return sorted((job, JobState(state)) for job, state in rows)

    def delete_jobs(self, filter_: JobFilter, after: int, limit: int) -> Verb[list[int]]:
        live, final = yield from self._oldest("delete_jobs", "delete_jobs_history", filter_, after, limit)
        yield from self.delete_ends(live + [row for row in final if row[1] == JobState.CANCELLED])
        for remove, rows in (("remove_jobs", live), ("remove_history", final)):
            if rows:
                yield from self.remove_rows(remove, [row[0] for row in rows])
        return sorted(row[0] for row in live + final)

    def _oldest(
        self, block: str, history_block: str, filter_: JobFilter, after: int, limit: int
    ) -> Verb[tuple[list[Row], list[Row]]]:
        """The ``limit`` oldest matching jobs of both tables taken together: those that are live or dead, and those in
        history. Id, state and workflow of each.
        """
        live: list[Row] = []
        final: list[Row] = []
        if in_jobs(filter_):
            live = yield self._select(block, filter_, after, limit)
        if in_history(filter_):
            final = yield self._select(history_block, filter_, after, limit)
        last = sorted([row[0] for row in live + final])[:limit][-1:] or [0]
        return [row for row in live if row[0] <= last[0]], [row for row in final if row[0] <= last[0]]

    def _select(self, block: str, filter_: JobFilter, after: int, limit: int) -> Statement:
        condition, params = self.where(filter_)
        return Statement(self.sql[block].replace("{where}", condition), params | {"after": after, "limit": limit})
