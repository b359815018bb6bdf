"""Workers and their leases."""

from dataclasses import dataclass
from typing import NamedTuple

__all__ = [
    "BlockedLoop",
    "NewWorker",
    "Renewal",
    "RescueReport",
    "WorkerRecord",
]


@dataclass(frozen=True, slots=True)
class NewWorker:
    """A worker process that starts."""

    host: str
    pid: int
    version: str
    queues: tuple[str, ...] | None
    tasks: frozenset[str]
    concurrency: int
    lease: int


class Renewal(NamedTuple):
    """A lease that was prolonged."""

    asked_to: str | None
    """What a person asks of its worker: ``quiet`` or ``stop``."""


class BlockedLoop(NamedTuple):
    """An event loop that does not respond: no job of its worker makes progress."""

    blocked_for: int
    """Microseconds."""
    by: str
    """The job and the line of code that block it, for people."""


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """A worker process as the store knows it."""

    id: int
    host: str
    pid: int
    version: str
    queues: tuple[str, ...] | None
    tasks: tuple[str, ...]
    concurrency: int
    started_at: int
    renewed_at: int
    expires_at: int
    stopped_at: int | None
    live: bool
    """Whether its lease is running."""
    running: int
    """How many jobs it has claimed."""
    memory: int | None = None
    """Bytes that its process used at the last renewal, if its system tells."""
    asked_to: str | None = None
    """What a person asks of it: ``quiet`` or ``stop``."""
    blocked_since: int | None = None
    """Since when its event loop has not responded, by its last renewal; ``None`` if it responds."""
    blocked_by: str | None = None
    """The job and the line of code that block its event loop, for people."""

    @property
    def name(self) -> str:
        """What jobs and attempts call the worker that runs them."""
        return f"{self.host}:{self.pid}#{self.id}"

    @property
    def takes_jobs(self) -> bool:
        """Whether it is live, and nobody has asked it to end."""
        return self.live and self.asked_to is None

    def serves(self, queue: str) -> bool:
        """Whether it takes jobs from this queue."""
        return self.queues is None or queue in self.queues

    @property
    def died(self) -> bool:
        """Whether others declared it dead: its lease ran out, or its supervisor saw its process end."""
        # A worker that ends in order gives its lease back at the same moment.
        return self.stopped_at is not None and self.stopped_at != self.expires_at

    def state_at(self, now: int) -> str:
        """``live``, ``blocked`` (its event loop does not respond), ``late`` (its heartbeat is overdue), ``lost`` (it
        died, or its lease ran out), or ``stopped`` (in order).
        """
        if self.stopped_at is not None:
            return "lost" if self.died else "stopped"
        if not self.live:
            return "lost"
        if now - self.renewed_at > (self.expires_at - self.renewed_at) * 2 // 3:
            return "late"
        return "live" if self.blocked_since is None else "blocked"


class RescueReport(NamedTuple):
    """What a rescue did with the jobs of dead workers."""

    workers: tuple[int, ...]
    returned: tuple[int, ...]
    dead: tuple[int, ...]
    cancelled: tuple[int, ...]
    crashed: tuple[tuple[int, int], ...] = ()
    """The attempts that ended by a crash, as job and fence. Not those of jobs that cannot have begun."""
