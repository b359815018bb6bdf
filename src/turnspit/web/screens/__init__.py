"""The screens: what each shows, and the path at which the dashboard finds it."""

import re
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from turnspit.web.rendering import Screen, View
from turnspit.web.screens.job import duplicate, job
from turnspit.web.screens.jobs import confirm, jobs
from turnspit.web.screens.overview import overview
from turnspit.web.screens.store import dead, metrics, queue, queues, schedules, workers
from turnspit.web.screens.workflows import workflow, workflows
from turnspit.web.site import Site

__all__ = ["ScreenMaker", "find_screen"]

ScreenMaker: TypeAlias = Callable[[Site, View], Awaitable[Screen]]

_SCREENS: dict[str, ScreenMaker] = {
    "/": overview,
    "/jobs": jobs,
    "/jobs/bulk": confirm,
    r"/jobs/\d{1,19}": job,
    r"/jobs/\d{1,19}/duplicate": duplicate,
    "/dead": dead,
    "/queues": queues,
    "/queue": queue,
    "/schedules": schedules,
    "/workers": workers,
    "/workflows": workflows,
    r"/workflows/\d{1,19}": workflow,
    "/metrics": metrics,
}
_PATTERNS = [(re.compile(pattern, re.ASCII), maker) for pattern, maker in _SCREENS.items()]


def find_screen(path: str) -> ScreenMaker | None:
    """The screen at a path below the place where the dashboard is mounted; ``None`` if there is none."""
    return next((maker for pattern, maker in _PATTERNS if pattern.fullmatch(path)), None)
