"""Fires schedules, at the moment they are due and without polling for it."""

import hashlib
import json
import logging

from turnspit.blueprints import TaskRegistry
from turnspit.clock import monotonic
from turnspit.contract import Engine
from turnspit.contract.verbs import Verb
from turnspit.records import Duties, NewSchedule
from turnspit.tasks import BoundTask, Task

__all__ = ["Scheduler", "declared_schedules", "new_schedules", "synchronise_schedules"]

logger = logging.getLogger("turnspit")

_LIMIT = 100
_LONGEST = 60.0
_EARLIER = 0.02


class Scheduler:
    """Declares the app's schedules once, then sleeps until the next tick; a wake of kind ``schedule``, or what a
    lookout saw, makes it look again.
    """

    name = "scheduler"

    def __init__(self, engine: Engine, app: str, tasks: TaskRegistry) -> None:
        self._engine = engine
        self._app = app
        self._tasks = tasks
        self._declared: frozenset[str] | None = None
        self._due_at = 0.0

    def is_called_for(self, duties: Duties) -> bool:
        """Whether it should run now: tasks were declared since, or there is a tick before it knew."""
        is_earlier = duties.until_tick is not None and monotonic() + duties.until_tick / 1e6 < self._due_at - _EARLIER
        return is_earlier or self._tasks.names != self._declared

    async def run_once(self) -> float:
        """Fire what is due; seconds until the next tick."""
        names = self._tasks.names
        if names != self._declared:
            removed = await self._engine.awrite(synchronise_schedules, self._engine, self._app, self._tasks)
            self._declared = names
            if removed:
                logger.warning(
                    "schedules that app %r declares no longer were removed: %s", self._app, ", ".join(removed)
                )
        _, until_next = await self._engine.awrite(self._engine.fire_schedules, names, _LIMIT)
        delay = _LONGEST if until_next is None else min(_LONGEST, max(0.001, until_next / 1_000_000))
        self._due_at = monotonic() + delay
        return delay


def synchronise_schedules(engine: Engine, app: str, tasks: TaskRegistry, *, is_newest: bool = False) -> Verb[list[str]]:
    """Store what the app's code declares; the names of those that it declares no longer."""
    declared = declared_schedules(tasks)
    release = hashlib.sha256(json.dumps(declared).encode()).hexdigest()[:16]
    return (yield from engine.declare_schedules(app, release, declared, tasks.names, is_newest=is_newest))


def declared_schedules(tasks: TaskRegistry) -> list[NewSchedule]:
    """What the app's code declares, by name."""
    return sorted(new for task in tasks.tasks for new in new_schedules(task))


def new_schedules(task: Task[..., object]) -> list[NewSchedule]:
    """A task's own schedules: named like the task, and from the second on ``task-2``, ``task-3``."""
    found = []
    for number, rule in enumerate(task.schedules, 1):
        name = task.name if number == 1 else f"{task.name}-{number}"
        job = json.dumps(BoundTask(task).new(**rule.args)._asdict())
        found.append(NewSchedule(name, task.name, rule.dump(), job, rule.missed, rule.overlap))
    return found
