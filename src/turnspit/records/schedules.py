"""Schedules."""

from typing import NamedTuple

__all__ = ["NewSchedule", "ScheduleRecord"]


class NewSchedule(NamedTuple):
    """A schedule as an app declares or creates it."""

    name: str
    task: str
    rule: str
    """JSON of its times."""
    job: str
    """JSON of the fields of the ``NewJob`` that each tick becomes."""
    missed: str
    overlap: str


class ScheduleRecord(NamedTuple):
    """A stored schedule."""

    app: str
    name: str
    task: str
    rule: str
    job: str
    missed: str
    overlap: str
    is_declared: bool
    created_at: int
    paused_at: int | None
    next_tick: int | None
    last_tick: int | None
    last_job: int | None
    waiting: str
    """JSON list of ticks that wait until an earlier job has ended."""
