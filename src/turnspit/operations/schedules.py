"""What a person does with schedules: ``app.schedules``."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from turnspit._runtime.maintenance.scheduler import synchronise_schedules
from turnspit.client import Stored
from turnspit.clock import from_moment
from turnspit.codec import check_text
from turnspit.errors import ConfigurationError, ScheduleNotFound
from turnspit.records import NewSchedule, ScheduleRecord
from turnspit.schedules import Cron, Every, Rule, load_rule
from turnspit.tasks import BoundTask, Task

__all__ = ["Schedule", "Schedules"]


class Named(Stored, Protocol):
    """What schedules need of their app."""

    name: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """A stored schedule."""

    app: str
    name: str
    task: str
    rule: str
    """Its times, as a person reads them."""
    arguments: dict[str, Any]
    missed: str
    overlap: str
    is_declared: bool
    """Whether the app's code declares it, or it was created at run time."""
    is_paused: bool
    next_tick: datetime | None
    last_tick: datetime | None
    """The last tick that became a job."""
    last_job: int | None
    waiting: int
    """Ticks that wait for the end of an earlier tick's job."""


ScheduleList = list[Schedule]  # inside Schedules, ``list`` is the method
Names = list[str]


class Schedules:
    """Look at schedules and change them. ``list(all=True)`` also shows those of other apps on the same store."""

    def __init__(self, app: Named) -> None:
        self._app = app

    def create(self, name: str, task: Task[Any, Any], rule: Rule) -> Schedule:
        """Store a schedule, or change the one that was created with this name.

        :raises ConfigurationError: if the name is that of a schedule which the code declares.
        :raises InvalidArguments: if the rule's ``args`` do not fit the task.

        ::

            app.schedules.create("digest-7", send_digest, Cron("0 8 * * mon", tz="Asia/Tokyo", args={"user_id": 7}))
        """
        new, engine = _new(name, task, rule), self._app.engine
        return _created(name, engine.write(engine.insert_schedule, self._app.name, new))

    async def acreate(self, name: str, task: Task[Any, Any], rule: Rule) -> Schedule:
        """``create`` for async code."""
        new, engine = _new(name, task, rule), self._app.engine
        return _created(name, await engine.awrite(engine.insert_schedule, self._app.name, new))

    def list(self, *, all: bool = False) -> ScheduleList:
        """The app's schedules by name; with ``all`` also those of other apps."""
        engine = self._app.engine
        return _to_schedules(engine.read(engine.list_schedules, None if all else self._app.name))

    async def alist(self, *, all: bool = False) -> ScheduleList:
        """``list`` for async code."""
        engine = self._app.engine
        return _to_schedules(await engine.aread(engine.list_schedules, None if all else self._app.name))

    def get(self, name: str) -> Schedule:
        """One schedule.

        :raises ScheduleNotFound: if there is none of this name.
        """
        engine = self._app.engine
        return _one(name, engine.read(engine.list_schedules, self._app.name, name))

    async def aget(self, name: str) -> Schedule:
        """``get`` for async code."""
        engine = self._app.engine
        return _one(name, await engine.aread(engine.list_schedules, self._app.name, name))

    def pause(self, name: str) -> None:
        """Pause a schedule: no tick comes until ``resume``. Ticks that wait for an earlier one's job are dropped.

        :raises ScheduleNotFound: if there is none of this name.
        """
        engine = self._app.engine
        _check_found(name, engine.write(engine.pause_schedule, self._app.name, name))

    async def apause(self, name: str) -> None:
        """``pause`` for async code."""
        engine = self._app.engine
        _check_found(name, await engine.awrite(engine.pause_schedule, self._app.name, name))

    def resume(self, name: str) -> None:
        """Resume a schedule's ticks from now on; those during the pause do not count as missed.

        :raises ScheduleNotFound: if there is none of this name.
        """
        engine = self._app.engine
        _check_found(name, engine.write(engine.resume_schedule, self._app.name, name))

    async def aresume(self, name: str) -> None:
        """``resume`` for async code."""
        engine = self._app.engine
        _check_found(name, await engine.awrite(engine.resume_schedule, self._app.name, name))

    def remove(self, name: str) -> None:
        """Remove a schedule that was created at run time, or whose task this app no longer has; its jobs stay.

        :raises ScheduleNotFound: if there is none, or the code declares it: then remove it there, or pause it.
        """
        engine = self._app.engine
        _check_removed(name, engine.write(engine.delete_schedule, self._app.name, name, self._app.tasks.names))

    async def aremove(self, name: str) -> None:
        """``remove`` for async code."""
        engine = self._app.engine
        _check_removed(name, await engine.awrite(engine.delete_schedule, self._app.name, name, self._app.tasks.names))

    def run_now(self, name: str) -> int:
        """Enqueue the schedule's job now, in addition to its ticks and also while it is paused; the job's id.

        :raises ScheduleNotFound: if there is none of this name.
        """
        engine = self._app.engine
        return _job_of(name, engine.write(engine.run_schedule, self._app.name, name))

    async def arun_now(self, name: str) -> int:
        """``run_now`` for async code."""
        engine = self._app.engine
        return _job_of(name, await engine.awrite(engine.run_schedule, self._app.name, name))

    def synchronise(self) -> Names:
        """Store the schedules that this release declares, and remove those that it does not; the names removed. Only
        needed after going back to an older release: for a newer one, a worker does this when it starts.
        """
        app = self._app
        return app.engine.write(synchronise_schedules, app.engine, app.name, app.tasks, is_newest=True)

    async def asynchronise(self) -> Names:
        """``synchronise`` for async code."""
        app = self._app
        return await app.engine.awrite(synchronise_schedules, app.engine, app.name, app.tasks, is_newest=True)


def _new(name: str, task: Task[Any, Any], rule: Rule) -> NewSchedule:
    if not isinstance(task, Task):
        raise ConfigurationError(f"create() takes a task, not {task!r}")
    if not isinstance(rule, Cron | Every):
        raise ConfigurationError(f"create() takes one Cron(...) or Every(...), not {rule!r}")
    job = json.dumps(BoundTask(task).new(**rule.args)._asdict())
    return NewSchedule(check_text(name, "a schedule's name"), task.name, rule.dump(), job, rule.missed, rule.overlap)


def _created(name: str, record: ScheduleRecord | None) -> Schedule:
    if record is None:
        raise ConfigurationError(f"schedule {name!r} is declared in the code: change it there, or take another name")
    return _to_schedule(record)


def _one(name: str, records: Sequence[ScheduleRecord]) -> Schedule:
    _check_found(name, bool(records))
    return _to_schedule(records[0])


def _check_found(name: str, is_found: bool) -> None:
    if not is_found:
        raise _not_found(name)


def _not_found(name: str) -> ScheduleNotFound:
    return ScheduleNotFound(f"there is no schedule {name!r} of this app")


def _job_of(name: str, job: int | None) -> int:
    if job is None:
        raise _not_found(name)
    return job


def _check_removed(name: str, is_removed: bool) -> None:
    if not is_removed:
        raise ScheduleNotFound(
            f"there is no schedule {name!r} of this app that was created at run time; one that the code declares is "
            "removed there, or paused"
        )


def _to_schedules(records: Sequence[ScheduleRecord]) -> ScheduleList:
    return [_to_schedule(record) for record in records]


def _to_schedule(record: ScheduleRecord) -> Schedule:
    try:
        rule = str(load_rule(record.rule))
    except ConfigurationError:
        rule = record.rule
    return Schedule(
        app=record.app,
        name=record.name,
        task=record.task,
        rule=rule,
        arguments=json.loads(json.loads(record.job)["args"]),
        missed=record.missed,
        overlap=record.overlap,
        is_declared=record.is_declared,
        is_paused=record.paused_at is not None,
        next_tick=from_moment(record.next_tick),
        last_tick=from_moment(record.last_tick),
        last_job=record.last_job,
        waiting=len(json.loads(record.waiting)),
    )
