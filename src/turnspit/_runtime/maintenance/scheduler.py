"""Fires schedules, at the moment they are due and without polling for it."""

import contextlib
import hashlib
import json
import logging
from collections.abc import Callable, Collection
from typing import Any

from turnspit.blueprints import TaskRegistry
from turnspit.clock import monotonic
from turnspit.contract import Engine
from turnspit.contract.verbs import Verb
from turnspit.errors import ConfigurationError, EngineUnavailable, StoreFrozen
from turnspit.events import LISTENER_ERRORS
from turnspit.records import Duties, NewJob, NewSchedule
from turnspit.schedules import schedule_names
from turnspit.tasks import BoundTask

__all__ = ["Scheduler", "declared_schedules", "synchronise_schedules"]

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
        self._unmade: dict[str, str] = {}
        """Declared schedules whose jobs could not be made, and what was logged of each."""
        self._due_at = 0.0

    def is_called_for(self, duties: Duties) -> bool:
        """Whether it should run now: tasks were declared since, or a tick is due earlier than it knew."""
        is_earlier = duties.until_tick is not None and monotonic() + duties.until_tick / 1e6 < self._due_at - _EARLIER
        return is_earlier or self._tasks.names != self._declared

    async def run_once(self) -> float:
        """Fire what is due; seconds until the next tick."""
        names = self._tasks.names
        if names != self._declared or self._unmade:
            await self._declare()
            self._declared = names
        until_next = await self._fire(names)
        delay = _LONGEST if until_next is None else min(_LONGEST, max(0.001, until_next / 1_000_000))
        self._due_at = monotonic() + delay
        return delay

    async def _fire(self, tasks: Collection[str]) -> int | None:
        """Fire what is due; microseconds until the next tick.

        A job that the store refuses keeps back no tick of another task.
        """
        write, fire = self._engine.awrite, self._engine.fire_schedules
        try:
            return (await write(fire, tasks, _LIMIT))[1]
        except (EngineUnavailable, StoreFrozen):
            raise
        except Exception:
            for task in sorted(tasks) if len(tasks) > 1 else ():
                with contextlib.suppress(Exception):
                    await write(fire, {task}, _LIMIT)
            raise

    async def _declare(self) -> None:
        """Store the declared schedules; one whose job cannot be made keeps back no other, and is tried again."""
        made, unmade = declared_schedules(self._tasks, self._engine.check_new)
        removed = await self._engine.awrite(_declare, self._engine, self._app, self._tasks, made, unmade)
        told, self._unmade = self._unmade, {name: str(error) for name, error in unmade.items()}
        for name, error in unmade.items():
            if told.get(name) != str(error):
                logger.error("%s; until it can, it stays as it was stored, if it was", error, exc_info=error.__cause__)
        if removed:
            logger.warning("schedules that app %r declares no longer were removed: %s", self._app, ", ".join(removed))


def synchronise_schedules(engine: Engine, app: str, tasks: TaskRegistry, *, is_newest: bool = False) -> Verb[list[str]]:
    """Store what the app's code declares; the names of those that it declares no longer.

    :raises ConfigurationError: if the job of one cannot be made; nothing is stored.
    """
    made, unmade = declared_schedules(tasks, engine.check_new)
    for error in unmade.values():
        raise error
    return (yield from _declare(engine, app, tasks, made, unmade, is_newest=is_newest))


def _declare(
    engine: Engine,
    app: str,
    tasks: TaskRegistry,
    made: list[NewSchedule],
    unmade: Collection[str],
    *,
    is_newest: bool = False,
) -> Verb[list[str]]:
    release = hashlib.sha256(json.dumps([made, *sorted(unmade)]).encode()).hexdigest()[:16]
    return (yield from engine.declare_schedules(app, release, made, tasks.names, kept=unmade, is_newest=is_newest))


def declared_schedules(
    tasks: TaskRegistry, check: Callable[[NewJob[Any]], None]
) -> tuple[list[NewSchedule], dict[str, ConfigurationError]]:
    """What the app's code declares, by name; and the names of those whose jobs cannot be made, with why.

    :param check: raises for a job that the store could not keep.
    """
    made: list[NewSchedule] = []
    unmade: dict[str, ConfigurationError] = {}
    for task in tasks.tasks:
        for name, rule in zip(schedule_names(task.name, task.schedules), task.schedules, strict=True):
            try:
                new = BoundTask(task).new(**rule.args)
                check(new)
            except LISTENER_ERRORS as error:  # a key function of the user's own may raise anything
                unmade[name] = ConfigurationError(
                    f"schedule {name} ({rule}) of task {task.name} cannot be stored as it is declared, because its job "
                    f"cannot be made ({type(error).__name__}: {error})"
                )
                unmade[name].__cause__ = error
            else:
                job = json.dumps(new._asdict())
                made.append(NewSchedule(name, task.name, rule.dump(), job, rule.missed, rule.overlap))
    return sorted(made), unmade
