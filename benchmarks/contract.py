"""What a system under measurement must be able to do: the same verbs for Turnspit, its peers and the raw limits.

To add a system, write a module in ``benchmarks/systems`` with one subclass of ``System`` and name it in
``benchmarks/systems/__init__.py``. Each verb runs in a process of its own (``agent.py``), except those that say
otherwise; a system in another language overrides ``command`` with a program that speaks the agent's three lines.
"""

import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

__all__ = ["MEASUREMENTS", "Starts", "System", "payload", "starts"]

MEASUREMENTS = {
    "one": "enqueue, one by one",
    "at_once": "enqueue, 64 at once",
    "bulk": "enqueue, bulk",
    "drain_1": "drain, one worker process",
    "drain_2": "drain, two worker processes",
    "wake_inside": "wake-up, in process",
    "wake_across": "wake-up, across processes",
    "idle": "idle worker process",
    "dispatch": "dispatch, no store",
}

AT_ONCE = 64
_NOTE = "leave it with the neighbours, please"


def payload(number: int) -> dict[str, Any]:
    """The arguments of a job: three values, about 100 bytes of JSON."""
    return {"to": "ada.lovelace@example.com", "order_id": number, "note": _NOTE}


class Starts:
    """When handlers began. ``time.monotonic_ns`` is one clock for all processes of a machine."""

    def __init__(self) -> None:
        self.moments: dict[int, int] = {}
        self._changed = threading.Condition()

    def mark(self, number: int) -> None:
        """Called first thing by a handler."""
        now = time.monotonic_ns()
        with self._changed:
            self.moments[number] = now
            self._changed.notify_all()

    def wait(self, number: int) -> int:
        """The moment at which the handler of a job in this process began."""
        with self._changed:
            if not self._changed.wait_for(lambda: number in self.moments, timeout=30):
                raise TimeoutError(f"job {number} was not started within 30 s")
            return self.moments[number]


starts = Starts()


class System(ABC):
    """One system on one fresh store."""

    name: ClassVar[str]
    measurements: ClassVar[Sequence[str]] = ("one", "at_once", "bulk", "drain_1", "drain_2", "wake_inside",
                                             "wake_across", "idle")  # fmt: skip
    share: ClassVar[float] = 1.0
    """How much of the bulk and drain sizes this system gets in a default run: slow ones get less."""

    def __init__(self, store: Path) -> None:
        self.store = store

    @classmethod
    def command(cls) -> list[str]:
        """How its agent is started."""
        return [sys.executable, "-m", "benchmarks.agent", cls.name]

    @classmethod
    @abstractmethod
    def settings(cls) -> dict[str, str]:
        """Its version, its durability and whatever was tuned, for the report. Runs in the harness."""

    @abstractmethod
    def open(self) -> None:
        """Import what is needed, make or open the store; nothing is claimed."""

    def enqueue_one_by_one(self, first: int, count: int) -> None:
        """Enqueue ``count`` jobs numbered from ``first``, each durable before the next."""
        raise NotImplementedError

    def enqueue_at_once(self, count: int) -> None:
        """Enqueue ``count`` jobs, ``AT_ONCE`` of them under way at any time."""
        raise NotImplementedError

    def enqueue_bulk(self, count: int) -> None:
        """Enqueue ``count`` jobs the way the system recommends for many."""
        raise NotImplementedError

    def fill(self, count: int) -> None:
        """Like ``enqueue_bulk``, for a drain: need not be the public way, must leave the same rows."""
        self.enqueue_bulk(count)

    def enqueue_marked(self, number: int) -> None:
        """Enqueue a job whose handler calls ``starts.mark(number)``."""
        raise NotImplementedError

    def work(self) -> None:
        """Be a worker process until ``stop``."""
        raise NotImplementedError

    def stop(self) -> None:
        """End ``work``; called from another thread."""
        raise NotImplementedError

    def inside(self) -> AbstractContextManager[Any]:
        """A worker inside this process."""
        raise NotImplementedError

    def dispatch(self, count: int) -> None:
        """Run ``count`` handlers without a store."""
        raise NotImplementedError

    def is_drained(self) -> bool:
        """Whether nothing waits or runs. Runs in the harness, often: it must be cheap."""
        raise NotImplementedError

    def count_completed(self) -> int:
        """How many jobs the store says are completed. Runs in the harness."""
        raise NotImplementedError

    def count_untouched(self) -> int:
        """How many jobs the store says nobody has claimed yet. Runs in the harness."""
        raise NotImplementedError
