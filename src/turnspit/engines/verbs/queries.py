"""The verbs of ``contract/queries.py``, on any engine."""

from collections import Counter, defaultdict

from turnspit.contract.verbs import Statement, Verb
from turnspit.engines.verbs.base import VerbBase
from turnspit.engines.verbs.filters import LARGEST, in_history, in_jobs
from turnspit.engines.verbs.rows import attempt_from_row, job_from_row, to_json
from turnspit.jobs import JobFilter
from turnspit.records import AttemptRecord, DeadGroupRecord, Duties, JobRecord, LogLine, QueueRecord, TaskStats

__all__ = ["QueryVerbs"]

_COUNTED = ("ready", "scheduled", "retrying", "held", "running", "dead", "completed_last_hour", "failed_last_hour")


class QueryVerbs(VerbBase):
    """Looking at jobs and queues."""

    def get_job(self, job_id: int) -> Verb[JobRecord | None]:
        records = yield from self.list_jobs(JobFilter(id=job_id), 1, None)
        return records[0] if records else None

    def list_jobs(self, filter_: JobFilter, limit: int, before: int | None) -> Verb[list[JobRecord]]:
        return (yield from self.list_within(filter_, limit, before, "true", "true"))

    def list_within(
        self, filter_: JobFilter, limit: int, before: int | None, live: str, final: str, preview: int | None = None
    ) -> Verb[list[JobRecord]]:
        """``list_jobs`` with two more conditions.

        :param live: SQL, for live jobs and dead letters.
        :param final: SQL, for history.
        :param preview: leave out attempts and results, and cut arguments and metadata after so many characters.
        """
        condition, params = self.where(filter_)
        parts = []
        if in_jobs(filter_):
            parts.append(self.sql["list_jobs_live"].replace("{where}", f"{condition} AND {live}"))
        if in_history(filter_):
            parts.append(self.sql["list_jobs_final"].replace("{where}", f"{condition} AND {final}"))
        params |= {"before": LARGEST if before is None else min(before, LARGEST), "limit": limit, "preview": preview}
        rows = yield Statement(" UNION ALL ".join(parts) + " ORDER BY 1 DESC LIMIT :limit", params)
        if preview is not None:
            return [job_from_row(row, []) for row in rows]
        attempts: defaultdict[int, list[AttemptRecord]] = defaultdict(list)
        found = yield Statement(self.sql["list_jobs_attempts"], {"ids": to_json(row[0] for row in rows)})
        for job, attempt in map(attempt_from_row, found):
            attempts[job].append(attempt)
        return [job_from_row(row, attempts[row[0]]) for row in rows]

    def count_jobs(self, filter_: JobFilter) -> Verb[int]:
        condition, params = self.where(filter_)
        count = 0
        for block, searched in (("count_jobs_live", in_jobs(filter_)), ("count_jobs_final", in_history(filter_))):
            if searched:
                [(found,)] = yield Statement(self.sql[block].replace("{where}", condition), params)
                count += found
        return count

    def list_logs(self, job_id: int) -> Verb[list[LogLine]]:
        return [LogLine(*row) for row in (yield Statement(self.sql["list_logs"], {"id": job_id}))]

    def group_dead_letters(self, task: str | None) -> Verb[list[DeadGroupRecord]]:
        return [DeadGroupRecord(*row) for row in (yield Statement(self.sql["group_dead_letters"], {"task": task}))]

    def list_queues(self) -> Verb[list[QueueRecord]]:
        counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for queue, state, count in (yield Statement(self.sql["list_queues"], {})):
            counts[queue][state] = count
        for queue, completed, failed in (yield Statement(self.sql["list_queues_finished"], {"now": self.clock.now()})):
            counts[queue].update(completed_last_hour=completed, failed_last_hour=failed)
        oldest: dict[str, int] = dict((yield Statement(self.sql["list_queues_oldest"], {})))
        return [
            QueueRecord._make((queue, *(counts[queue][name] for name in _COUNTED), oldest.get(queue)))
            for queue in sorted(counts)
        ]

    def list_tasks(self) -> Verb[list[TaskStats]]:
        return [TaskStats(*row) for row in (yield Statement(self.sql["list_tasks"], {}))]

    def find_duties(self, worker: int, queues: tuple[str, ...] | None, tasks: frozenset[str]) -> Verb[Duties]:
        params = {"now": self.clock.now(), "worker": worker, "tasks": to_json(sorted(tasks))}
        params["queues"] = None if queues is None else to_json(queues)
        [row] = yield Statement(self.sql["find_duties"], params, ends=True)
        duties = Duties._make(row)
        return duties._replace(
            ready=bool(duties.ready),
            held=bool(duties.held),
            cancelled=bool(duties.cancelled),
            dead=bool(duties.dead),
            limited=bool(duties.limited),
        )

    def count_waiting(self, queue: str, most: int) -> Verb[int]:
        [(count,)] = yield Statement(self.sql["count_waiting"], {"queue": queue, "most": most})
        return int(count)

    def count_ready_or_running(self, queues: tuple[str, ...] | None, tasks: frozenset[str]) -> Verb[int]:
        params = {"queues": None if queues is None else to_json(queues), "tasks": to_json(sorted(tasks))}
        [(count,)] = yield Statement(self.sql["count_ready_or_running"], params)
        return int(count)

    def count_scheduled(self, queues: tuple[str, ...] | None, tasks: frozenset[str]) -> Verb[tuple[int, int | None]]:
        params = {"queues": None if queues is None else to_json(queues), "tasks": to_json(sorted(tasks))}
        [(count, next_at)] = yield Statement(self.sql["count_scheduled"], params)
        return int(count), next_at
