"""What the program of a system must be able to do: the same verbs for Turnspit, its peers and the raw limits.

A program is one small file in ``benchmarks/programs``. It runs in the system's own environment (so this module and
``agent.py`` use the standard library alone) and is declared, with the questions that the harness asks of the store,
in ``benchmarks/systems``. One in another language speaks the lines of ``agent.py``.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ["AT_ONCE", "FlowProgram", "Program", "at_once_in_threads", "payload", "starts"]

AT_ONCE = 64
_NOTE = "leave it with the neighbours, please"


def payload(number: int) -> dict[str, Any]:
    """The arguments of a job: three values, about 100 bytes of JSON."""
    return {"to": "ada.lovelace@example.com", "order_id": number, "note": _NOTE}


def at_once_in_threads(count: int, make_call: Callable[[], Callable[[int], Any]]) -> None:
    """For systems without an async API: ``AT_ONCE`` threads, each with a call of its own making."""

    def call_some(first: int) -> None:
        call = make_call()
        for number in range(first, count, AT_ONCE):
            call(number)

    threads = [threading.Thread(target=call_some, args=(first,)) for first in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Starts:
    """When handlers began. ``time.monotonic_ns`` is one clock for all processes of a machine."""

    def __init__(self) -> None:
        self.moments: dict[int, int] = {}

    def mark(self, number: int) -> None:
        """Called first thing by a handler."""
        self.moments[number] = time.monotonic_ns()


starts = Starts()


class Program:
    """One system on one fresh store, in a process of its own."""

    def __init__(self, store: str) -> None:
        self.store = store
        """The URL of the store."""
        self.ran = 0
        """How many handlers ran, where the store does not keep that."""

    def settings(self) -> dict[str, str]:
        """``version``, ``durability`` and ``settings`` (whatever was tuned), for the report."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Make tables and the like; once a store, before anything else opens it."""

    def open(self) -> None:
        """Import and open what is needed; nothing is claimed."""

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

    def work(self, **options: Any) -> None:
        """Be a worker process until ``stop``. Only scenarios of Turnspit itself give options."""
        raise NotImplementedError

    def stop(self) -> None:
        """End ``work``; called from another thread."""
        raise NotImplementedError

    def dispatch(self, count: int) -> None:
        """Run ``count`` handlers without a store."""
        raise NotImplementedError


class FlowProgram(Program):
    """One whose jobs wait for jobs: for ``benchmarks.workflows``."""

    def flows(self, count: int) -> dict[str, Any]:
        """Store workflows of four jobs, one by one; the ``seconds``. Nobody runs them."""
        raise NotImplementedError

    def chain(self, length: int) -> dict[str, Any]:
        """Store jobs of which each waits for the one before, then run them by one worker: ``stored`` and ``ran`` in
        seconds, and when each began (``starts``).
        """
        raise NotImplementedError

    def fan(self, width: int, first: int) -> dict[str, Any]:
        """Many jobs and one that waits for all of them, all behind another one if ``first`` is 1: as ``chain``."""
        raise NotImplementedError
