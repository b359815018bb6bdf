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
        kept: Collection[str] = (),
        is_newest: bool = False,
    ) -> Verb[list[str]]:
        """Make ``declared`` the declared schedules of an app; ``release`` is a name for this set of them.

        Declared schedules that are not among them are removed if they are of one of ``tasks``. Those of other tasks
        stay: only workers that know a task fire its schedules, and they may belong to another app that has the same
        name by mistake. A schedule whose times did not change keeps its next tick and its pause. Schedules of other
        apps, and those made by ``insert_schedule``, stay as they are.

        :param kept: names of schedules that are declared too and cannot be stored now: they stay as they are.
        :param is_newest: make this release the newest. Otherwise a release counts as newer than those that were seen
            before it, and one that is not the newest changes nothing.
        :returns: the names of the schedules removed.
        """
        ...

    def insert_schedule(self, app: str, new: NewSchedule) -> Verb[ScheduleRecord | None]:
        """Store a schedule, or change the one of this name that was stored by this verb. Its first tick is after now.
        ``None``, and nothing is changed, if a declared schedule has this name.
        """
        ...

    def list_schedules(self, app: str | None = None, name: str | None = None) -> Verb[list[ScheduleRecord]]:
        """Schedules by app and name."""
        ...

    def pause_schedule(self, app: str, name: str) -> Verb[bool]:
        """Let no tick of a schedule come; whether there is such a schedule."""
        ...

    def resume_schedule(self, app: str, name: str) -> Verb[bool]:
        """Let its ticks come again, from now on; whether there is such a schedule."""
        ...

    def delete_schedule(self, app: str, name: str, tasks: Collection[str]) -> Verb[bool]:
        """Remove a schedule, unless it is declared and of one of these ``tasks``; whether it was removed."""
        ...

    def run_schedule(self, app: str, name: str) -> Verb[int | None]:
        """Store a schedule's job now, whatever its ticks, pause and overlap; its id."""
        ...

    def fire_schedules(self, tasks: Collection[str], limit: int) -> Verb[tuple[int, int | None]]:
        """Take due ticks of schedules whose tasks the caller knows, and store their jobs: how many jobs, and the
        microseconds until the next tick.

        A tick is taken by compare-and-set on the schedule's next tick, in the transaction that stores its job, so it
        fires once. The next tick is later than both the taken one and the database's now, so a clock that is set back
        fires none again.
        """
        ...
