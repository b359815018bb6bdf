"""What a person does with queues: ``app.queues``."""

from dataclasses import dataclass
from datetime import datetime

from turnspit.client import Stored
from turnspit.clock import from_moment
from turnspit.codec import check_text
from turnspit.contract.verbs import Verb
from turnspit.errors import ConfigurationError
from turnspit.loads import LOAD_MINUTES, LOAD_MOST, queue_loads
from turnspit.records import PauseKind, PauseRecord, QueueLoad, QueueRecord

__all__ = ["Pause", "QueueStats", "Queues"]


@dataclass(frozen=True, slots=True)
class QueueStats:
    """One queue at one moment."""

    queue: str
    ready: int
    scheduled: int
    """Those that wait for their first attempt."""
    retrying: int
    """Those that are scheduled after at least one attempt."""
    held: int
    running: int
    dead: int
    completed_last_hour: int
    failed_last_hour: int
    """Attempts that failed, whether they are tried again or not, or whose worker died."""
    oldest_ready_at: datetime | None
    """Since when the oldest job waits, among the first ready jobs of each priority."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A queue, a task or a tag whose jobs do not start."""

    kind: PauseKind
    name: str
    paused_at: datetime


class Queues:
    """Look at queues, pause and resume them."""

    def __init__(self, app: Stored) -> None:
        self._app = app

    def stats(self) -> list[QueueStats]:
        """Each queue with jobs, by name: how many wait, run, died, and ended within the last hour."""
        return _stats(self._app.engine.read(self._app.engine.list_queues))

    async def astats(self) -> list[QueueStats]:
        """``stats`` for async code."""
        return _stats(await self._app.engine.aread(self._app.engine.list_queues))

    def loads(self) -> list[QueueLoad]:
        """The load of each queue that has live jobs, or whose jobs ended lately, for an autoscaler; cheap on any store.

        ::

            {load.queue: load.latency for load in app.queues.loads()}
        """
        return self._app.engine.read(self._look_at_loads)

    async def aloads(self) -> list[QueueLoad]:
        """``loads`` for async code."""
        return await self._app.engine.aread(self._look_at_loads)

    def _look_at_loads(self) -> Verb[list[QueueLoad]]:
        engine = self._app.engine
        counts = yield from engine.count_queues(LOAD_MOST)
        counters = yield from engine.list_counters(LOAD_MINUTES + 1, 1)
        return queue_loads(counts, counters, (yield from engine.list_workers()))

    def pause(self, queue: str | None = None, *, task: str | None = None, tag: str | None = None) -> bool:
        """Pause a queue, a task or a tag: no worker starts a job of it until ``resume``, not even after a restart.

        Running jobs go on; jobs that workers have claimed in advance go back at once.

        :param queue: its name; or
        :param task: the task's name; or
        :param tag: one of the jobs' tags.
        :returns: ``False`` if it was paused already.
        :raises ConfigurationError: unless exactly one of them is given.

        ::

            app.queues.pause("email")
            app.queues.pause(task="send_newsletter")
            app.queues.pause(tag="import")
        """
        return self._app.engine.write(self._app.engine.pause, *_named(queue, task, tag))

    async def apause(self, queue: str | None = None, *, task: str | None = None, tag: str | None = None) -> bool:
        """``pause`` for async code."""
        return await self._app.engine.awrite(self._app.engine.pause, *_named(queue, task, tag))

    def resume(self, queue: str | None = None, *, task: str | None = None, tag: str | None = None) -> bool:
        """End a pause. Jobs keep their priority and order; a long backlog of a task or a tag becomes ready in portions.

        :param queue: its name; or
        :param task: the task's name; or
        :param tag: one of the jobs' tags.
        :returns: ``False`` if it was not paused.
        :raises ConfigurationError: unless one of them is given.
        """
        return self._app.engine.write(self._app.engine.resume, *_named(queue, task, tag))

    async def aresume(self, queue: str | None = None, *, task: str | None = None, tag: str | None = None) -> bool:
        """``resume`` for async code."""
        return await self._app.engine.awrite(self._app.engine.resume, *_named(queue, task, tag))

    def paused(self) -> list[Pause]:
        """What is paused: kind (``"queue"``, ``"task"`` or ``"tag"``), name, and since when."""
        return _pauses(self._app.engine.read(self._app.engine.list_pauses))

    async def apaused(self) -> list[Pause]:
        """``paused`` for async code."""
        return _pauses(await self._app.engine.aread(self._app.engine.list_pauses))


def _stats(records: list[QueueRecord]) -> list[QueueStats]:
    return [QueueStats(*each[:-1], from_moment(each.oldest_ready_at)) for each in records]


def _pauses(records: list[PauseRecord]) -> list[Pause]:
    return [Pause(each.kind, each.name, from_moment(each.paused_at)) for each in records]


def _named(queue: str | None, task: str | None, tag: str | None) -> tuple[PauseKind, str]:
    names: dict[PauseKind, str | None] = {"queue": queue, "task": task, "tag": tag}
    given = [(kind, name) for kind, name in names.items() if name is not None]
    if len(given) != 1:
        raise ConfigurationError(
            'name what is meant: a queue, as pause("email"), a task, as pause(task="send"), or a tag, '
            'as pause(tag="import")'
        )
    kind, name = given[0]
    return kind, check_text(name, f"a {kind}'s name")
