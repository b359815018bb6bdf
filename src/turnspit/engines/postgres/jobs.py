"""The verbs of ``contract/jobs.py`` that PostgreSQL does in fewer statements than ``engines/verbs/jobs.py``."""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import pydantic_core
from psycopg.errors import LockNotAvailable

from turnspit.contract.jobs import MOST_QUEUES
from turnspit.contract.limits import NotItsTurn
from turnspit.contract.verbs import Row, Statement, Verb, Wake, WakeKind
from turnspit.engines.postgres.blocks import has_nul
from turnspit.engines.verbs.claims import MOST_HELD
from turnspit.engines.verbs.ends import Outcome
from turnspit.engines.verbs.jobs import OF_NOTHING, JobVerbs, inserted_as
from turnspit.engines.verbs.rows import has_a_time, params_of_alike, to_json
from turnspit.engines.verbs.turns import Turn, in_turn
from turnspit.errors import InvalidPayload
from turnspit.records import (
    Claim,
    ClaimAtOnce,
    ClaimRequest,
    Completion,
    FinishReport,
    Inserted,
    NewJob,
    ProgressReport,
    ProgressUpdate,
    PruneRequest,
)
from turnspit.states import JobState

__all__ = ["PostgresJobVerbs"]

_ID, _PRIORITY = attrgetter("id"), attrgetter("priority")
_BOUND = "AND (-priority, id) > (-turn.priority, turn.after)"


class PostgresJobVerbs(JobVerbs):
    """Jobs on their way from enqueued to ended."""

    def check_new(self, new: NewJob[Any]) -> None:
        """Refuse what ``jsonb`` cannot hold: such a job could not be found by its arguments."""
        for name, text in (("arguments", new.args), ("metadata", new.metadata)):
            if text is not None and has_nul(text):
                raise InvalidPayload(
                    f"the {name} of a job of task {new.task} hold text with a NUL character, which PostgreSQL cannot "
                    "store: remove it, or send the bytes as base64 (pydantic.Base64Bytes)"
                )

    def lock_limits(self) -> Verb[None]:
        try:
            yield from super().lock_limits()
        except LockNotAvailable as error:
            raise NotItsTurn(f"the limited jobs of the store are being claimed by another worker: {error}") from error

    def insert_each(self, new: Sequence[NewJob[Any]]) -> Verb[list[Inserted]]:
        for job in new:
            self.check_new(job)
        rows = yield self._insertion(new, "id, state, run_at, created_at")
        yield from _wakes(new)
        return [Inserted(job, JobState(state), run_at, created_at) for job, state, run_at, created_at in rows]

    def insert_job_at_once(self, new: NewJob[Any]) -> Verb[Inserted | None]:
        assert new.unique_rule is not None
        self.check_new(new)
        held = {"states": new.unique_rule.states, "within": new.unique_rule.within}
        params = new._asdict() | held | {"now": self.clock.now()}
        rows = yield Statement(self.sql["insert_job_at_once"], params, ends=True)
        return (yield from inserted_as(new, rows)) if rows else None

    def insert_jobs(self, new: Sequence[NewJob[Any]]) -> Verb[list[int]]:
        if not new or any(job.unique_rule is not None for job in new):
            return (yield from super().insert_jobs(new))
        for job in new:
            self.check_new(job)
        rows = yield self._insertion(new, "id")  # not by ``store_jobs``: as its own last statement it needs no COMMIT
        yield from _wakes(new)
        return [job for (job,) in rows]

    def store_jobs(self, new: Sequence[NewJob[Any]]) -> Verb[list[int]]:
        if not new:
            return []
        rows = yield self._insertion(new, "id")
        yield from _wakes(new)
        return [job for (job,) in rows]

    def _insertion(self, new: Sequence[NewJob[Any]], columns: str) -> Statement:
        params = params_of_alike(new)
        block = "insert_alike_jobs"
        if params is None:
            block, params = "insert_jobs", {"jobs": to_json(job._asdict() for job in new)}
        params["now"] = self.clock.now()
        return Statement(self.sql[block].replace("{columns}", columns), params, ends=True)

    def store_workflow_jobs(self, workflow: int, new: Sequence[tuple[NewJob[Any], bool]]) -> Verb[list[int]]:
        rows = [{**job._asdict(), "workflow": workflow, "is_blocked": int(is_blocked)} for job, is_blocked in new]
        params = {"now": self.clock.now(), "rows": to_json(rows)}
        return [job for (job,) in (yield Statement(self.sql["extend_workflow_jobs"], params))]

    def store_rows(self, block: str, columns: Sequence[str], rows: Sequence[Row]) -> Verb[None]:
        if rows:
            yield Statement(self.sql[block], {"rows": to_json(dict(zip(columns, row, strict=True)) for row in rows)})

    def run_turns(self, block: str, params: Mapping[str, Any], turns: Sequence[Mapping[str, Any]]) -> Verb[list[Row]]:
        return (yield Statement(self.sql[block], {**params, "turns": to_json(turns)}))

    def claim_jobs_at_once(self, request: ClaimRequest) -> Verb[ClaimAtOnce]:
        params = self.claim_params(request)
        if hints := self.bounds.turns(request):
            claims = _claims_of((yield self._claim(params, hints, ends=True)), [turn["queue"] for turn in hints])
            self.bounds.remember(request, claims, is_all=False)
            return ClaimAtOnce(claims, is_partial=True)
        with self.bounds.looking():
            rows = yield self._claim_from_all(params, request)
        claims = _claims_of(rows, in_turn({row[3] for row in rows}, request.after))
        self.bounds.remember(request, claims)
        return ClaimAtOnce(claims, is_partial=1 < len(claims) >= request.limit / MOST_QUEUES)

    def _claim_from_all(self, params: Mapping[str, Any], request: ClaimRequest) -> Statement:
        """Find the busy queues and claim from them, in one statement."""
        busy = "claim_jobs_at_once_busy" if request.queues is None else "claim_jobs_at_once_served"
        turns = self.sql[busy] + ", " + self.sql["claim_jobs_at_once_turns"]
        params = {**params, "limit": request.limit, **self._queues_in_turn(request, request.after)}
        return Statement(self.sql["claim_jobs"].replace("{turns}", turns).replace("{bound}", ""), params, ends=True)

    def find_busy_queues(self, request: ClaimRequest, after: str) -> Verb[list[str]]:
        block = "claim_jobs_queues" if request.queues is None else "claim_jobs_queues_served"
        busy = "claim_jobs_at_once_busy" if request.queues is None else "claim_jobs_at_once_served"
        sql = self.sql[block].replace("{busy}", self.sql[busy])
        return in_turn([queue for (queue,) in (yield Statement(sql, self._queues_in_turn(request, after)))], after)

    @staticmethod
    def _queues_in_turn(request: ClaimRequest, after: str) -> dict[str, Any]:
        """The parameters of the blocks that find busy queues."""
        if request.queues is None:
            return {"after": after, "most": MOST_QUEUES}
        return {"queues": to_json(in_turn(request.queues, after)), "most": MOST_QUEUES}

    def claim_turns(self, params: Mapping[str, Any], turns: Sequence[Turn]) -> Verb[list[Claim]]:
        return _claims_of((yield self._claim(params, turns)), [turn["queue"] for turn in turns])

    def _claim(self, params: Mapping[str, Any], turns: Sequence[Turn], *, ends: bool = False) -> Statement:
        bound = _BOUND if "after" in turns[0] else ""
        sql = self.sql["claim_jobs"].replace("{turns}", self.sql["claim_jobs_turns"]).replace("{bound}", bound)
        return Statement(sql, {**params, "turns": to_json(turns)}, ends=ends)

    def hold_unknown(self, params: Mapping[str, Any], queues: Sequence[str]) -> Verb[int]:
        turns = to_json({"queue": queue} for queue in queues)
        found = yield Statement(self.sql["claim_jobs_unknown"], {**params, "turns": turns, "limit": MOST_HELD})
        if found:
            yield Statement(self.sql["lock_registration_shared"], {})
            yield Statement(self.sql["claim_jobs_hold"], {"ids": to_json(job for (job,) in found)})
        if len(found) == MOST_HELD:
            yield Wake(WakeKind.READY)  # for another claim, which holds the rest
        return len(found)

    def finish_jobs_at_once(self, completions: Sequence[Completion]) -> Verb[list[int]]:
        rows = yield self._finish(completions, which=self.sql["finish_jobs_at_once"], ends=True)
        done = [job for job, _, _ in rows]
        yield Wake(WakeKind.FINISHED, tuple(done))
        return done

    def _finish_completed(self, completions: list[Completion], report: FinishReport) -> Verb[None]:
        rows = yield self._finish(completions)
        done = {job for job, _, _ in rows}
        yield from self.free_slots([job for job, lane, _ in rows if lane is not None])
        yield from self.end_jobs([(job, workflow) for job, _, workflow in rows], Outcome.COMPLETED)
        yield from self._report_lost([each for each in completions if each.id not in done], report)

    def _finish(self, completions: Sequence[Completion], *, which: str = "", ends: bool = False) -> Statement:
        latest = {each.id: each for each in sorted(completions, key=lambda each: each.fence)}
        params = {
            "now": self.clock.now(),
            "ids": to_json(latest),
            "fences": pydantic_core.to_json({job: each.fence for job, each in latest.items()}).decode(),
        }
        given = [each._asdict() for each in latest.values() if each[2:] != OF_NOTHING]
        if given:
            params["results"] = to_json(given)
        results = self.sql["finish_jobs_of_some" if given else "finish_jobs_of_nothing"]
        sql = self.sql["finish_jobs"].replace("{which}", which).replace("{results}", results)
        return Statement(sql, params, ends=ends)

    def record_progress(self, updates: Sequence[ProgressUpdate]) -> Verb[ProgressReport]:
        report = ProgressReport()
        if not updates:
            return report
        reported = to_json({**each._asdict(), "lines": None} for each in updates)
        params = {"ids": to_json(each.id for each in updates), "updates": reported}
        stored = set((yield Statement(self.sql["record_progress"], params)))
        left = {(each.id, each.fence) for each in updates} - stored
        if left:
            ids = to_json(job for job, _ in left)
            report.locked |= left.intersection((yield Statement(self.sql["record_progress_locked"], {"ids": ids})))
            report.lost += sorted(left - report.locked)
        heard = [each for each in updates if (each.id, each.fence) in stored and each.lines]
        if heard:
            lines = to_json({"job": each.id, **line._asdict()} for each in heard for line in each.lines)
            yield Statement(self.sql["record_progress_log"], {"now": self.clock.now(), "lines": lines})
        return report

    def prune_jobs(self, request: PruneRequest) -> Verb[int]:
        [(is_ours,)] = yield Statement(self.sql["prune_jobs_lock"], {})
        if not is_ours:
            return 0
        params = {"now": self.clock.now(), "history": request.history, "limit": request.limit}
        [(_, removed)] = yield Statement(self.sql["prune_jobs_partitions"], params)
        yield Statement(self.sql["prune_jobs_roll_up"], params)
        return int(removed) + (yield from super().prune_jobs(request))


def _claims_of(rows: list[Row], queues: Sequence[str]) -> list[Claim]:
    """The claims of these rows, in the order in which their queues are served."""
    claims = list(map(Claim._make, rows))
    claims.sort(key=_ID)
    claims.sort(key=_PRIORITY, reverse=True)
    if len(queues) > 1:
        places = {queue: place for place, queue in enumerate(queues)}
        claims.sort(key=lambda claim: places[claim.queue])
    return claims


def _wakes(new: Sequence[NewJob[Any]]) -> Verb[None]:
    yield Wake(WakeKind.READY)
    if any(has_a_time(job) for job in new):
        yield Wake(WakeKind.SCHEDULED)
