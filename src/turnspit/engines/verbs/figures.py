"""The verbs of ``contract/figures.py``, on any engine."""

from dataclasses import replace
from typing import Any, NamedTuple

from turnspit.contract.verbs import Statement, Verb
from turnspit.engines.verbs.filters import LARGEST, in_history, in_jobs
from turnspit.engines.verbs.queries import QueryVerbs
from turnspit.jobs import JobFilter
from turnspit.records import (
    CounterRecord,
    DeadGroupRecord,
    FoundJobs,
    MatchCount,
    QueueCounts,
    RecentDead,
    RunSample,
    StoreCounts,
)
from turnspit.states import JobState

__all__ = ["FigureVerbs"]

_FEW: dict[JobState | None, str] = {
    JobState.READY: "search_jobs_few_ready",
    JobState.SCHEDULED: "search_jobs_few_scheduled",
    JobState.HELD: "search_jobs_few_held",
    JobState.RUNNING: "search_jobs_few_running",
}
_FLOORS: dict[JobState | None, str] = {
    JobState.DEAD: "search_jobs_floor_dead",
    JobState.CANCELLED: "search_jobs_floor_cancelled",
}
_COUNTED_AS = {
    "scheduled": "scheduled",
    "retrying": "scheduled",
    "limited": "held",
    "unknown": "held",
    "paused": "held",
    "running": "running",
    "dead": "dead",
}


class _Bounds(NamedTuple):
    """Which part of a table is searched: a further condition, and the smallest id that it lets through."""

    condition: str
    floor: int


class FigureVerbs(QueryVerbs):
    """What screens and metrics show."""

    def count_queues(self, most: int) -> Verb[StoreCounts]:
        queues: dict[str, QueueCounts] = {}
        totals = dict.fromkeys(_COUNTED_AS.values(), 0)
        for queue, count in (yield Statement(self.sql["count_queues_ready"], {"most": most})):
            queues[queue] = QueueCounts(queue, ready=count)
        for queue, state, count in (yield Statement(self.sql["count_queues_other"], {"most": most + 1})):
            setattr(queues.setdefault(queue, QueueCounts(queue)), state, count)
            totals[_COUNTED_AS[state]] += count
        for queue, oldest in (yield Statement(self.sql["list_queues_oldest"], {})):
            if queue in queues:
                queues[queue].oldest_ready_at = oldest
        uncounted = frozenset(state for state, total in totals.items() if total > most)
        [(now,)] = yield Statement(self.sql["count_queues_now"], {"now": self.clock.now()})
        return StoreCounts(tuple(queues[queue] for queue in sorted(queues)), uncounted, now)

    def list_counters(self, span: int, step: int) -> Verb[list[CounterRecord]]:
        params = {"now": self.clock.now(), "span": span, "step": step}
        return [CounterRecord(*row) for row in (yield Statement(self.sql["list_counters"], params))]

    def sample_runs(
        self, slots: int, width: int, depth: int, queue: str | None, task: str | None
    ) -> Verb[list[RunSample]]:
        params = {"now": self.clock.now(), "slots": slots, "width": width, "depth": depth, "queue": queue, "task": task}
        return [RunSample(*row) for row in (yield Statement(self.sql["sample_runs"], params))]

    def search_jobs(
        self, filter_: JobFilter, limit: int, before: int | None, depth: int, preview: int | None = None
    ) -> Verb[FoundJobs]:
        live, final = yield from self._bounds(filter_, before, depth)
        floor = max(live.floor, final.floor)
        records = yield from self.list_within(filter_, limit, before, live.condition, final.condition, preview)
        found = tuple(record for record in records if record.id >= floor)
        if len(found) == limit:
            return FoundJobs(found, found[-1].id, False)
        return FoundJobs(found, floor or None, floor > 0)

    def count_matches(self, filter_: JobFilter, most: int, depth: int) -> Verb[MatchCount]:
        block = _FEW.get(_state(filter_))
        if block is not None and replace(filter_, state=None).is_empty:
            [(count,)] = yield Statement(self.sql[block], {"depth": most + 1})
            return MatchCount(min(count, most), count <= most)
        live, final = yield from self._bounds(filter_, None, depth)
        condition, params = self.where(filter_)
        count = 0
        for name, bounds, searched in (
            ("count_matches_live", live, in_jobs(filter_)),
            ("count_matches_final", final, in_history(filter_)),
        ):
            if searched:
                sql = self.sql[name].replace("{where}", f"{condition} AND {bounds.condition}")
                [(found,)] = yield Statement(sql, params | {"most": most + 1})
                count += found
        return MatchCount(min(count, most), count <= most and not (live.floor or final.floor))

    def group_recent_dead(self, depth: int, preview: int) -> Verb[RecentDead]:
        rows = yield Statement(self.sql["group_recent_dead"], {"depth": depth, "preview": preview})
        groups = tuple(
            DeadGroupRecord(
                fingerprint or "", task, kind or "", message or "", count, newest, first, last, args, metadata
            )
            for fingerprint, task, kind, count, newest, first, last, message, args, metadata in rows
        )
        return RecentDead(groups, sum(group.count for group in groups) < depth)

    def _bounds(self, filter_: JobFilter, before: int | None, depth: int) -> Verb[tuple[_Bounds, _Bounds]]:
        """How much of live jobs and of history is searched."""
        nothing = _Bounds("true", 0)
        if _is_indexed(filter_):
            return nothing, nothing
        state, live, final = _state(filter_), nothing, nothing
        if in_jobs(filter_):
            live = yield from self._bounds_of_live(state, before, depth)
        if in_history(filter_):
            final = yield from self._floor(_FLOORS.get(state, "search_jobs_floor_final"), before, depth)
        return live, final

    def _bounds_of_live(self, state: JobState | None, before: int | None, depth: int) -> Verb[_Bounds]:
        if state in _FEW:
            [(count,)] = yield Statement(self.sql[_FEW[state]], {"depth": depth})
            if count < depth:
                return _Bounds(self.sql["search_jobs_among"].replace("{state}", f"state = '{state}'"), 0)
        return (yield from self._floor(_FLOORS.get(state, "search_jobs_floor_live"), before, depth))

    def _floor(self, block: str, before: int | None, depth: int) -> Verb[_Bounds]:
        params: dict[str, Any] = {"before": LARGEST if before is None else min(before, LARGEST), "depth": depth}
        rows = yield Statement(self.sql[block], params)
        floor = rows[0][0] if rows else 0
        return _Bounds(f"id >= {floor}" if floor else "true", floor)


def _state(filter_: JobFilter) -> JobState | None:
    return None if filter_.state is None else JobState(filter_.state)


def _is_indexed(filter_: JobFilter) -> bool:
    """Whether an index leads to every job that matches, in the order of ids."""
    if filter_.id is not None or filter_.workflow is not None or filter_.unique_key is not None:
        return True
    state, rest = _state(filter_), replace(filter_, state=None)
    if state is JobState.DEAD:
        return replace(rest, fingerprint=None).is_empty
    return rest.is_empty and state in (None, JobState.CANCELLED)
