"""What a worker tells those who listen: ``@app.on("completed")``.

An event is sent by the worker that ended the attempt, after the move was stored, and at most once: a worker
that is killed between storing and telling does not tell. Whatever must happen belongs in a job.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any, Literal, get_args

from turnspit.errors import ConfigurationError
from turnspit.logs import guarded_logger
from turnspit.records import BrokenAttempt

__all__ = [
    "EVENT_NAMES",
    "LISTENER_ERRORS",
    "Event",
    "EventBus",
    "EventName",
    "FollowedName",
    "check_event_names",
    "is_stopping",
]

logger = guarded_logger()  # the one of every module

EventName = Literal["started", "completed", "failed", "snoozed", "cancelled", "dead", "lost", "rescued"]
EVENT_NAMES: tuple[EventName, ...] = get_args(EventName)
FollowedName = EventName | Literal["progress"]
"""What ``app.events`` tells: progress too."""

LISTENER_ERRORS = (Exception, SystemExit, asyncio.CancelledError)
"""What a function of the application's own may raise without harm to the worker that calls it."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a job.

    ``started`` an attempt begins · ``completed`` · ``failed`` an attempt failed and will be tried again ·
    ``snoozed`` · ``cancelled`` · ``dead`` the job is a dead letter now · ``lost`` another worker owns the job ·
    ``rescued`` a dead worker's job was returned to its queue · ``progress`` of ``app.events`` only.
    """

    name: FollowedName
    job_id: int
    task: str
    queue: str
    attempt: int
    error_type: str | None = None
    error_message: str | None = None
    seconds: float | None = None
    """How long the attempt ran; ``None`` if that is not known, as of ``started``."""
    waited: float | None = None
    """Of ``started``: how many seconds passed from when the job was due until it was claimed, by the store's clock."""
    progress: float | None = None
    """How far the job was, from 0 to 1. Of ``app.events`` only, as the next two."""
    progress_message: str | None = None
    """What it said with that."""
    progress_data: Any = None
    """What it gave a program that follows it, as JSON values."""
    error: BaseException | None = field(default=None, repr=False, compare=False)
    """Of ``failed`` and ``dead``: the exception itself, with its traceback; ``None`` where the worker died with it."""


def check_event_names(names: tuple[str, ...]) -> None:
    """Check that there are names, and that each is the name of an event.

    :raises ConfigurationError: otherwise.
    """
    known = ", ".join(EVENT_NAMES)
    if not names:
        raise ConfigurationError(f"say which events: on({EVENT_NAMES[1]!r}); there are {known}")
    for name in names:
        if name not in EVENT_NAMES:
            raise ConfigurationError(f"no event is named {name!r}; there are {known}")


Handler = Callable[[Event], Awaitable[None] | None]


class EventBus:
    """The handlers of one app, called in the order in which they were added."""

    def __init__(self) -> None:
        self._handlers: dict[str, list[Handler]] = {}
        self.on_broken: list[Callable[[BrokenAttempt], None]] = []
        """Called with each attempt that no middleware saw. For telemetry."""

    def on(self, names: tuple[EventName, ...], handler: Handler) -> None:
        """Call ``handler`` for the events of these names.

        :raises ConfigurationError: for a name that is not an event.
        """
        check_event_names(names)
        for name in names:
            self._handlers.setdefault(name, []).append(handler)

    def wants(self, name: EventName) -> bool:
        """Whether anybody listens: an event nobody wants is not even made."""
        return name in self._handlers

    def tell_broken(self, attempt: BrokenAttempt) -> None:
        """Call ``on_broken`` with an attempt that no middleware saw. A listener that raises is logged."""
        for listener in self.on_broken:
            try:
                listener(attempt)
            except Exception:
                logger.exception("%r failed for job %s", listener, attempt.claim.id)

    async def send(self, event: Event) -> None:
        """Call the handlers; one that raises is logged and the next one called."""
        for handler in self._handlers.get(event.name, ()):
            try:
                answer = handler(event)
                if isawaitable(answer):
                    await answer
            except LISTENER_ERRORS:
                if is_stopping():
                    raise
                name = getattr(handler, "__qualname__", repr(handler))
                logger.exception("the %s handler %s failed for job %s", event.name, name, event.job_id)


def is_stopping() -> bool:
    """Whether the current asyncio task is itself being cancelled, and does not only await something that was."""
    here = asyncio.current_task()
    return here is not None and bool(here.cancelling())
