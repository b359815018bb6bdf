"""What a person does with workers: ``app.workers``."""

from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from turnspit.client import Stored, possible_id
from turnspit.clock import from_moment
from turnspit.errors import WorkerNotFound
from turnspit.records import WorkerRecord

__all__ = ["WorkerInfo", "Workers"]


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker process as the store knows it."""

    id: int
    host: str
    pid: int
    version: str
    """Of Turnspit."""
    queues: tuple[str, ...] | None
    """``None``: all."""
    tasks: tuple[str, ...]
    concurrency: int
    running: int
    """How many jobs it has claimed."""
    memory: int | None
    """Bytes that its process used at the last heartbeat, if its system tells."""
    is_live: bool
    """Whether its lease is running."""
    asked_to: str | None
    """``quiet`` or ``stop`` if somebody asked it to."""
    blocked_since: datetime | None
    """Since when its event loop has been blocked, by its last heartbeat: none of its jobs goes on. ``None``: it is not
    blocked.
    """
    blocked_by: str | None
    """The job and the line of code that block its event loop."""
    started_at: datetime
    renewed_at: datetime
    """Its last heartbeat."""
    stopped_at: datetime | None


WorkerInfos = list[WorkerInfo]  # inside Workers, ``list`` is the method


class Workers:
    """Look at workers, wherever they run, and make them end in order."""

    def __init__(self, app: Stored) -> None:
        self._app = app

    def list(self) -> WorkerInfos:
        """Live workers, and those that ended within the last hour, newest first."""
        return [_info(record) for record in self._app.engine.read(self._app.engine.list_workers)]

    async def alist(self) -> WorkerInfos:
        """``list`` for async code."""
        return [_info(record) for record in await self._app.engine.aread(self._app.engine.list_workers)]

    def quiet(self, worker: int) -> None:
        """Let a worker claim no more jobs; it ends when its last one has, however long that takes. A supervisor starts
        another one in its place.

        :param worker: its id in ``list()``.
        :raises WorkerNotFound: if no live worker has it.
        """
        if not self._app.engine.write(self._app.engine.ask_worker, possible_id(worker), "quiet"):
            _refuse(worker)

    async def aquiet(self, worker: int) -> None:
        """``quiet`` for async code."""
        if not await self._app.engine.awrite(self._app.engine.ask_worker, possible_id(worker), "quiet"):
            _refuse(worker)

    def stop(self, worker: int) -> None:
        """Stop a worker as SIGTERM does: running jobs may go on for its grace time. A supervisor starts another one.

        :param worker: its id in ``list()``.
        :raises WorkerNotFound: if no live worker has it.
        """
        if not self._app.engine.write(self._app.engine.ask_worker, possible_id(worker), "stop"):
            _refuse(worker)

    async def astop(self, worker: int) -> None:
        """``stop`` for async code."""
        if not await self._app.engine.awrite(self._app.engine.ask_worker, possible_id(worker), "stop"):
            _refuse(worker)


def _info(record: WorkerRecord) -> WorkerInfo:
    return WorkerInfo(
        id=record.id,
        host=record.host,
        pid=record.pid,
        version=record.version,
        queues=record.queues,
        tasks=record.tasks,
        concurrency=record.concurrency,
        running=record.running,
        memory=record.memory,
        is_live=record.live,
        asked_to=record.asked_to,
        blocked_since=from_moment(record.blocked_since),
        blocked_by=record.blocked_by,
        started_at=from_moment(record.started_at),
        renewed_at=from_moment(record.renewed_at),
        stopped_at=from_moment(record.stopped_at),
    )


def _refuse(worker: int) -> NoReturn:
    raise WorkerNotFound(f"no live worker has the id {worker}: it has ended, or come back under a new one")
