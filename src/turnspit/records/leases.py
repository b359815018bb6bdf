"""Workers and their leases."""

from dataclasses import dataclass
from typing import NamedTuple

__all__ = [
    "NewWorker",
    "RescueReport",
    "WorkerRecord",
]


@dataclass(frozen=True, slots=True)
class NewWorker:
    """A worker process that begins."""

    host: str
    pid: int
    version: str
    queues: tuple[str, ...] | None
    tasks: frozenset[str]
    concurrency: int
    lease: int


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
    """Bytes of its process at the last renewal, where its system says so."""
    asked_to: str | None = None
    """What a person asks of it: ``quiet`` or ``stop``."""

    @property
    def name(self) -> str:
        """As jobs and attempts name who runs them."""
        return f"{self.host}:{self.pid}#{self.id}"

    def state_at(self, now: int) -> str:
        """``live``, ``late`` with its heartbeat, ``lost`` (its lease ran out), or ``stopped`` in order."""
        if self.stopped_at is not None:
            # One that ended in order gave its lease back in the same moment; another's had run out.
            return "stopped" if self.stopped_at <= self.expires_at else "lost"
        if not self.live:
            return "lost"
        return "late" if now - self.renewed_at > (self.expires_at - self.renewed_at) * 2 // 3 else "live"


class RescueReport(NamedTuple):
    """What a rescue did with the jobs of dead workers."""

    workers: tuple[int, ...]
    returned: tuple[int, ...]
    dead: tuple[int, ...]
    cancelled: tuple[int, ...]
    crashed: tuple[tuple[int, int], ...] = ()
    """The attempts that ended so, each as job and fence: what cannot have begun is returned without one."""
