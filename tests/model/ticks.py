"""Random operations with schedules: each tick becomes one job, whoever looks and however late."""

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.model.machine import QUEUES, TASKS, EngineAndModel
from tests.model.reference import SECOND
from turnspit.clock import from_moment
from turnspit.records import NewJob, NewSchedule
from turnspit.schedules import MOST_TICKS, Every

APP = "shop"


@dataclass
class ModelSchedule:
    """What a schedule does, in the plainest words."""

    task: str
    queue: str
    period: int
    missed: str
    overlap: str
    next_tick: int | None
    last_job: int | None = None

    def tick_after(self, now: int) -> int:
        return (now // self.period + 1) * self.period

    def due(self, now: int) -> list[int]:
        ticks: list[int] = []
        tick = self.next_tick
        while tick is not None and tick <= now:
            ticks.append(tick)
            tick += self.period
        return ticks[-1:] if self.missed == "run_once" else ticks[:MOST_TICKS]


class WithTicks(EngineAndModel):
    """Schedules that are made, changed, paused and looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.schedules: dict[str, ModelSchedule] = {}

    @rule(
        name=st.sampled_from(["hourly", "nightly"]),
        task=st.sampled_from(TASKS),
        queue=st.sampled_from(QUEUES),
        seconds=st.sampled_from([7, 30, 100]),
        missed=st.sampled_from(["run_once", "run_all"]),
        overlap=st.sampled_from(["allow", "skip"]),
    )
    def insert_schedule(self, name: str, task: str, queue: str, seconds: int, missed: Any, overlap: Any) -> None:
        every = Every(seconds=seconds, missed=missed, overlap=overlap)
        job = json.dumps(NewJob(task, queue, "{}")._asdict())
        self.write(self.engine.insert_schedule, APP, NewSchedule(name, task, every.dump(), job, missed, overlap))
        before = self.schedules.get(name)
        schedule = ModelSchedule(task, queue, seconds * SECOND, missed, overlap, None)
        if before is None:
            schedule.next_tick = schedule.tick_after(self.model.now)
        else:
            keeps_its_times = before.next_tick is None or before.period == schedule.period
            schedule.next_tick = before.next_tick if keeps_its_times else schedule.tick_after(self.model.now)
            schedule.last_job = before.last_job
        self.schedules[name] = schedule

    def one_of_them(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.schedules)))

    @precondition(lambda self: self.schedules)
    @rule(data=st.data())
    def pause_schedule(self, data: st.DataObject) -> None:
        name = self.one_of_them(data)
        assert self.write(self.engine.pause_schedule, APP, name)
        self.schedules[name].next_tick = None

    @precondition(lambda self: self.schedules)
    @rule(data=st.data())
    def resume_schedule(self, data: st.DataObject) -> None:
        name = self.one_of_them(data)
        assert self.write(self.engine.resume_schedule, APP, name)
        schedule = self.schedules[name]
        if schedule.next_tick is None:
            schedule.next_tick = schedule.tick_after(self.model.now)

    @precondition(lambda self: self.schedules)
    @rule(data=st.data())
    def delete_schedule(self, data: st.DataObject) -> None:
        name = self.one_of_them(data)
        assert self.write(self.engine.delete_schedule, APP, name, TASKS)
        del self.schedules[name]

    @precondition(lambda self: self.schedules)
    @rule(data=st.data())
    def run_schedule(self, data: st.DataObject) -> None:
        """Beside its ticks, whatever else is."""
        name = self.one_of_them(data)
        self.insert_tick(self.write(self.engine.run_schedule, APP, name), self.schedules[name])

    def insert_tick(self, job: int, schedule: ModelSchedule) -> None:
        assert job > self.newest
        self.newest = job
        self.model.insert(job, schedule.task, schedule.queue, 0, 0)

    @rule(tasks=st.frozensets(st.sampled_from(TASKS), min_size=1))
    def fire(self, tasks: frozenset[str]) -> None:
        expected: dict[str, list[int]] = {}
        for name, schedule in self.schedules.items():
            ticks = schedule.due(self.model.now)
            if schedule.task in tasks and ticks:
                expected[name] = [] if schedule.overlap == "skip" and self.is_live(schedule.last_job) else ticks
                if schedule.overlap == "skip":
                    expected[name] = expected[name][:1]
                schedule.next_tick = schedule.tick_after(self.model.now)
        fired, _ = self.write(self.engine.fire_schedules, tasks, 100)
        assert fired == sum(map(len, expected.values()))
        records = self.engine.read(self.engine.list_schedules, APP)
        for record in records:
            assert record.next_tick == self.schedules[record.name].next_tick
        self.find_ticks(expected)

    def is_live(self, job: int | None) -> bool:
        known = None if job is None else self.model.jobs.get(job)
        return known is not None and not known.is_final

    def find_ticks(self, expected: dict[str, list[int]]) -> None:
        """Each has become a job that names it; which schedule came first is the engine's affair."""
        while expected:
            record = self.store.find(self.newest + 1)
            if record is None:
                assert not any(expected.values()), "a tick was lost"
                return
            metadata = json.loads(record.metadata or "{}")
            name = metadata["schedule"]
            tick = expected[name].pop(0)
            assert metadata["tick"] == from_moment(tick).isoformat(), "in their order"
            self.insert_tick(record.id, self.schedules[name])
            self.schedules[name].last_job = record.id
