"""Recurring jobs. A schedule has a name inside its app's name."""

from collections.abc import Collection, Sequence
from typing import Protocol

from turnspit.contract.verbs import Verb
from turnspit.records import NewSchedule, ScheduleRecord

__all__ = ["Schedules"]


class Schedules(Protocol):
    """The verbs of schedules. Each one is atomic."""

    def declare_schedules(
        self,
        app: str,
        release: str,
        declared: Sequence[NewSchedule],
        tasks: Collection[str],
        *,
        is_newest: bool = False,
    ) -> Verb[list[str]]:
        """Make the declared schedules of an app those of ``release``, which names this set of them; the names removed:
        declared schedules of these ``tasks`` that are not among them. Those of other tasks stay: nobody fires them
        who does not know the task, and they may be another app's that took the same name by mistake.

        Releases are numbered as they are first seen. One that is not the newest changes nothing, unless ``is_newest``
        says that it shall be from now on. A schedule whose times did not change keeps its next tick and its pause.
        Schedules of other apps, and those made by ``insert_schedule``, stay as they are.
        """
        ...

    def insert_schedule(self, app: str, new: NewSchedule) -> Verb[ScheduleRecord | None]:
        """Store a schedule, or change the one of this name that was stored so; its first tick is after now. ``None``,
        and nothing is changed, if the name is that of a declared one.
        """
        ...

    def list_schedules(self, app: str | None = None, name: str | None = None) -> Verb[list[ScheduleRecord]]:
        """Schedules by app and name."""
        ...

    def pause_schedule(self, app: str, name: str, paused: bool) -> Verb[bool]:
        """Let no tick come, or let them come again from now on; whether there is such a schedule."""
        ...

    def delete_schedule(self, app: str, name: str, tasks: Collection[str]) -> Verb[bool]:
        """Remove a schedule, unless it is declared and of one of these ``tasks``; whether it was removed."""
        ...

    def run_schedule(self, app: str, name: str) -> Verb[int | None]:
        """Store a schedule's job now, whatever its ticks, pause and overlap; its id."""
        ...

    def fire_schedules(self, tasks: Collection[str], limit: int) -> Verb[tuple[int, int | None]]:
        """Take due ticks of schedules whose tasks the caller knows, and store their jobs: how many jobs, and
        microseconds until the next tick.

        A tick is taken by compare-and-set on the schedule's next tick in the transaction that stores its job, so it
        fires once. The next tick is after both the taken one and the database's now: a clock that is put back fires
        none again.
        """
        ...
