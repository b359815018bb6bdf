"""The verbs of ``contract/jobs.py`` that SQLite does its own way: one writer, and no SQL that moves rows at once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pydantic_core

from turnspit.contract.jobs import MOST_QUEUES
from turnspit.contract.verbs import Row, Statement, Verb, Wake, WakeKind
from turnspit.engines.verbs.claims import MOST_HELD
from turnspit.engines.verbs.ends import Outcome
from turnspit.engines.verbs.jobs import OF_NOTHING, JobVerbs
from turnspit.engines.verbs.rows import has_a_time, params_of_alike, to_json
from turnspit.engines.verbs.turns import Turn, in_turn
from turnspit.records import Claim, ClaimRequest, Completion, FinishReport, Inserted, NewJob
from turnspit.states import JobState

__all__ = ["SqliteJobVerbs"]


class SqliteJobVerbs(JobVerbs):
    """Jobs on their way from enqueued to ended."""

    def insert_each(self, new: Sequence[NewJob[Any]]) -> Verb[list[Inserted]]:
        for job in new:
            self.check_new(job)
        ids, now = yield from self._store(new)
        rows = [_row(job, now) for job in new]
        return [Inserted(job, JobState(row[-1]), row[-2], now) for job, row in zip(ids, rows, strict=True)]

    def store_jobs(self, new: Sequence[NewJob[Any]]) -> Verb[list[int]]:
        if not new:
            return []
        ids, _ = yield from self._store(new)
        return ids

    def _store(self, new: Sequence[NewJob[Any]]) -> Verb[tuple[list[int], int]]:
        """Store jobs; their ids, and the moment at which they were stored."""
        [(now, before)] = yield Statement(self.sql["insert_jobs_begin"], {"now": self.clock.now()})
        params = params_of_alike(new)
        if params is None:
            yield Statement(self.sql["insert_jobs"], [_row(job, now) for job in new], many=True)
        else:
            yield Statement(self.sql["insert_alike_jobs"], {**params, "now": now})
        [(last,)] = yield Statement(self.sql["insert_jobs_last_id"], {})
        yield Wake(WakeKind.READY)
        if any(has_a_time(job) for job in new):
            yield Wake(WakeKind.SCHEDULED)
        return list(range(before + 1, last + 1)), now

    def store_workflow_jobs(self, workflow: int, new: Sequence[tuple[NewJob[Any], bool]]) -> Verb[list[int]]:
        [(now, before)] = yield Statement(self.sql["insert_jobs_begin"], {"now": self.clock.now()})
        rows = [_workflow_row(job, workflow, now, is_blocked=is_blocked) for job, is_blocked in new]
        yield Statement(self.sql["extend_workflow_jobs"], rows, many=True)
        [(last,)] = yield Statement(self.sql["insert_jobs_last_id"], {})
        return list(range(before + 1, last + 1))

    def store_rows(self, block: str, columns: Sequence[str], rows: Sequence[Row]) -> Verb[None]:
        if rows:
            yield Statement(self.sql[block], rows, many=True)

    def run_turns(self, block: str, params: Mapping[str, Any], turns: Sequence[Mapping[str, Any]]) -> Verb[list[Row]]:
        rows: list[Row] = []
        for turn in turns:
            rows += yield Statement(self.sql[block], {**params, **turn})
        return rows

    def claim_turns(self, params: Mapping[str, Any], turns: Sequence[Turn]) -> Verb[list[Claim]]:
        line = self.sql["claim_jobs_behind" if "after" in turns[0] else "claim_jobs_line"]
        limit = sum(turn["share"] for turn in turns)
        params = {**params, "turns": to_json(turns), "share": turns[0]["share"], "limit": limit}
        [(ids,)] = yield Statement(self.sql["claim_jobs"].replace("{line}", line), params)
        if ids == "[]":
            return []
        yield Statement(self.sql["claim_jobs_take"], {**params, "ids": ids})
        [(claims,)] = yield Statement(self.sql["claim_jobs_taken"], {"ids": ids})
        return [Claim(*fields) for fields in pydantic_core.from_json(claims)]

    def find_busy_queues(self, request: ClaimRequest, after: str) -> Verb[list[str]]:
        if request.queues is not None:
            if len(request.queues) == 1:
                return list(request.queues)
            params = {"queues": to_json(in_turn(request.queues, after)), "most": MOST_QUEUES}
            return [queue for (queue,) in (yield Statement(self.sql["claim_jobs_queues_served"], params))]
        busy = yield Statement(self.sql["claim_jobs_queues"], {"after": after, "most": MOST_QUEUES})
        if len(busy) < MOST_QUEUES and after:
            again = yield Statement(self.sql["claim_jobs_queues"], {"after": "", "most": MOST_QUEUES - len(busy)})
            busy += [row for row in again if row[0] <= after]
        return [queue for (queue,) in busy]

    def hold_unknown(self, params: Mapping[str, Any], queues: Sequence[str]) -> Verb[int]:
        params = {**params, "queues": to_json(queues), "limit": MOST_HELD}
        held = yield Statement(self.sql["claim_jobs_hold"], params)
        if len(held) == MOST_HELD:
            yield Wake(WakeKind.READY)  # for another claim, which holds the rest: others wait for the write lock now
        return len(held)

    def _finish_completed(self, completions: list[Completion], report: FinishReport) -> Verb[None]:
        fences = _fences(completions)
        found = yield Statement(self.sql["finish_jobs"], {"now": self.clock.now(), "fences": fences})
        done: set[int] = set()
        followed: list[Row] = []
        for *_, ids, of_more in found:
            done.update(pydantic_core.from_json(ids))
            followed += pydantic_core.from_json(of_more)
        yield from self.count_attempts("completed", [row[1:5] for row in found])
        if done:
            yield from self._move_completed(completions, found[0][0])
            yield Statement(self.sql["finish_jobs_remove"], {"fences": fences})
        yield from self.free_slots([job for job, lane, _ in followed if lane is not None])
        yield from self.end_jobs([(job, workflow) for job, _, workflow in followed], Outcome.COMPLETED)
        yield from self._report_lost([each for each in completions if each.id not in done], report)

    def _move_completed(self, completions: list[Completion], now: int) -> Verb[None]:
        given = [each for each in completions if each[2:] != OF_NOTHING]
        if len(given) < len(completions):
            params = {"now": now, "fences": _fences(each for each in completions if each[2:] == OF_NOTHING)}
            yield Statement(self.sql["finish_jobs_of_nothing"], params)
        if given:
            yield Statement(self.sql["finish_jobs_of_some"], {"now": now, "finishes": to_json(given)})


def _fences(completions: Iterable[Completion]) -> str:
    """JSON of the fence of each job: if there are two claims of one job, only the newer can be current."""
    ordered = sorted(completions, key=lambda each: each[:2])
    return pydantic_core.to_json({each.id: each.fence for each in ordered}).decode()


def _row(new: NewJob[Any], now: int) -> tuple[Any, ...]:
    """The row of a new job, computed from the database's now: 0.6 µs a row faster than in SQL."""
    due = max(now if new.at is None else new.at, now + new.delay)
    state = "scheduled" if due > now else "ready" if new.lane is None else "held"
    return (
        new.task,
        new.queue,
        new.args,
        new.priority,
        new.retry,
        new.timeout,
        new.tags,
        new.metadata,
        new.unique_key,
        new.lane,
        now + new.expires_in if new.expires_at is None and new.expires_in is not None else new.expires_at,
        now,
        due,
        state,
    )


def _workflow_row(new: NewJob[Any], workflow: int, now: int, *, is_blocked: bool) -> tuple[Any, ...]:
    *fields, _unique_key, lane, expires_at, created_at, due, state = _row(new, now)
    if is_blocked:
        due, state = now if new.at is None else new.at, "blocked"
    return (*fields, lane, workflow, expires_at, created_at, due, state)
