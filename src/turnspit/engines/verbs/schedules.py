"""The verbs of ``contract/schedules.py``, on any engine."""

import json
from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Any

from turnspit.clock import from_moment
from turnspit.contract.verbs import Row, Statement, Verb, Wake, WakeKind
from turnspit.engines.verbs.base import VerbBase
from turnspit.engines.verbs.rows import left_out, to_json
from turnspit.errors import ConfigurationError
from turnspit.records import NewJob, NewSchedule, ScheduleRecord, UniqueRule
from turnspit.schedules import MOST_TICKS, due_ticks, load_rule

__all__ = ["ScheduleVerbs"]

_LOOK_AGAIN = 250_000


class ScheduleVerbs(VerbBase):
    """Recurring jobs."""

    @abstractmethod
    def check_new(self, new: NewJob[Any]) -> None:
        """Refuse a job that the engine could not store."""

    @abstractmethod
    def insert_jobs(self, new: Sequence[NewJob[Any]]) -> Verb[list[int]]:
        """Store many jobs."""

    def declare_schedules(
        self,
        app: str,
        release: str,
        declared: Sequence[NewSchedule],
        tasks: Collection[str],
        *,
        kept: Collection[str] = (),
        is_newest: bool = False,
    ) -> Verb[list[str]]:
        params = {"app": app, "release": release, "now": self.clock.now()}
        [(now,)] = yield Statement(self.sql["declare_schedules_lock"], params)
        [(own, newest)] = yield Statement(self.sql["declare_schedules_release"], params)
        if (own is None and newest is None and not declared) or (own is not None and (own == newest or not is_newest)):
            return []
        yield Statement(self.sql["declare_schedules_newest"], params | {"number": (newest or 0) + 1})
        for new in declared:
            yield from self._store_schedule(app, new, now, is_declared=True)
        names = to_json([*(new.name for new in declared), *kept])
        params |= {"names": names, "tasks": to_json(sorted(tasks))}
        removed = yield Statement(self.sql["declare_schedules_remove"], params)
        yield Wake(WakeKind.SCHEDULE)
        return [name for (name,) in removed]

    def insert_schedule(self, app: str, new: NewSchedule) -> Verb[ScheduleRecord | None]:
        now, before = yield from self._lock_schedule(app, new.name)
        if before is not None and before.is_declared:
            return None
        yield from self._store_schedule(app, new, now, is_declared=False)
        yield Wake(WakeKind.SCHEDULE)
        [stored] = yield from self.list_schedules(app, new.name)
        return stored

    def _store_schedule(self, app: str, new: NewSchedule, now: int, *, is_declared: bool) -> Verb[None]:
        self.check_new(_job_of(new.job))
        params = {**new._asdict(), "app": app, "now": now, "is_declared": is_declared}
        params["next_tick"] = load_rule(new.rule).next_tick(now, now)
        yield Statement(self.sql["insert_schedule"], params)

    def list_schedules(self, app: str | None = None, name: str | None = None) -> Verb[list[ScheduleRecord]]:
        rows = yield Statement(self.sql["list_schedules"], {"app": app, "name": name})
        return [_record(row) for row in rows]

    def pause_schedule(self, app: str, name: str) -> Verb[bool]:
        now, schedule = yield from self._lock_schedule(app, name)
        if schedule is not None and schedule.paused_at is None:
            yield Statement(self.sql["pause_schedule"], {"app": app, "name": name, "now": now})
            yield Wake(WakeKind.SCHEDULE)
        return schedule is not None

    def resume_schedule(self, app: str, name: str) -> Verb[bool]:
        now, schedule = yield from self._lock_schedule(app, name)
        if schedule is not None and schedule.paused_at is not None:
            following = load_rule(schedule.rule).next_tick(now, schedule.created_at)
            yield Statement(self.sql["resume_schedule"], {"app": app, "name": name, "next_tick": following})
            yield Wake(WakeKind.SCHEDULE)
        return schedule is not None

    def _lock_schedule(self, app: str, name: str) -> Verb[tuple[int, ScheduleRecord | None]]:
        """The time, and the schedule of this name, if there is one. No other writer comes between."""
        [(now,)] = yield Statement(self.sql["declare_schedules_lock"], {"app": app, "now": self.clock.now()})
        found = yield from self.list_schedules(app, name)
        return now, found[0] if found else None

    def delete_schedule(self, app: str, name: str, tasks: Collection[str]) -> Verb[bool]:
        params = {"app": app, "name": name, "tasks": to_json(sorted(tasks))}
        return bool((yield Statement(self.sql["delete_schedule"], params)))

    def run_schedule(self, app: str, name: str) -> Verb[int | None]:
        rows = yield Statement(self.sql["run_schedule"], {"app": app, "name": name, "now": self.clock.now()})
        if not rows:
            return None
        [(now, template)] = rows
        [job] = yield from self._insert([_job_of(template, name, now)])
        return job

    def fire_schedules(self, tasks: Collection[str], limit: int) -> Verb[tuple[int, int | None]]:
        params = {"now": self.clock.now(), "tasks": to_json(sorted(tasks)), "limit": limit}
        fired = 0
        for now, *row in (yield Statement(self.sql["fire_schedules"], params)):
            try:
                fired += yield from self._fire(_record(tuple(row)), now)
            except ConfigurationError:
                continue  # its rule can only be read by a newer release, or on a machine that has its time zone
        [(until_next,)] = yield Statement(self.sql["fire_schedules_next"], params)
        if until_next is not None and until_next <= 0 and not fired:
            until_next = _LOOK_AGAIN  # another worker is firing it at this moment
        return fired, until_next

    def _fire(self, schedule: ScheduleRecord, now: int) -> Verb[int]:
        rule, first, waiting = load_rule(schedule.rule), schedule.next_tick, json.loads(schedule.waiting)
        following, ticks = first, []
        if first is not None and first <= now:
            ticks = due_ticks(rule, schedule.missed, first, schedule.created_at, now)
            following = rule.next_tick(now, schedule.created_at)
        if schedule.overlap != "allow":
            live = yield Statement(self.sql["fire_schedules_live"], {"job": schedule.last_job})
            if schedule.overlap == "queue":
                waiting = [*waiting, *ticks][:MOST_TICKS]
                ticks = [] if live or not waiting else [waiting.pop(0)]
            else:
                ticks = [] if live else ticks[:1]
        params = {"app": schedule.app, "name": schedule.name, "seen": first, "next_tick": following}
        params |= {"waiting": to_json(waiting)}
        if not (yield Statement(self.sql["fire_schedules_take"], params)) or not ticks:
            return 0
        jobs = yield from self._insert([_job_of(schedule.job, schedule.name, tick) for tick in ticks])
        yield Statement(self.sql["fire_schedules_fired"], params | {"tick": ticks[-1], "job": jobs[-1]})
        return len(jobs)

    def _insert(self, new: Sequence[NewJob[Any]]) -> Verb[list[int]]:
        ids = yield from self.insert_jobs(new)
        if len(ids) < len(new):
            raise left_out(job.task for job in new)
        return ids


def _record(row: Row) -> ScheduleRecord:
    record = ScheduleRecord(*row)
    return record._replace(is_declared=bool(record.is_declared))


def _job_of(template: str, schedule: str | None = None, tick: int | None = None) -> NewJob[Any]:
    """A schedule's job. With a tick, its metadata says which, for the task's context."""
    fields = json.loads(template)
    if fields.get("unique_rule") is not None:
        rule = UniqueRule(*fields["unique_rule"])
        fields["unique_rule"] = rule._replace(on_conflict="keep") if rule.on_conflict == "raise" else rule
    if tick is not None:
        fields["at"] = tick
        fields["metadata"] = json.dumps({"schedule": schedule, "tick": from_moment(tick).isoformat()})
    return NewJob(**fields)
