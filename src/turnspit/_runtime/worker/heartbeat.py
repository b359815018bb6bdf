"""Keeps the worker's lease, from a thread of its own: a handler that blocks the event loop loses no lease."""

import logging
import os
import random
import threading
from collections.abc import Callable

from turnspit._runtime.memory import memory_of
from turnspit._runtime.outage import Outage
from turnspit.clock import elapsed
from turnspit.contract import Engine

__all__ = ["Heartbeat"]

logger = logging.getLogger("turnspit")


class Heartbeat:
    """Renews the lease every ``interval`` seconds, on a connection of its own.

    What failed is tried again sooner.

    :param on_dead: called once, in this thread, when another worker declared this one dead.
    :param on_beat: called before each renewal, in this thread; the lease is renewed whatever it raises.
    """

    def __init__(
        self,
        engine: Engine,
        worker: int,
        *,
        lease: float,
        interval: float,
        on_dead: Callable[[], object],
        on_beat: Callable[[], object],
        outage: Outage | None = None,
    ) -> None:
        self.worker = worker
        self._engine = engine
        self._lease = lease
        self._microseconds = int(lease * 1_000_000)
        self._interval = interval
        self._on_dead = on_dead
        self._on_beat = on_beat
        self._longest_gap = min(lease, 2 * interval)
        self._outage = outage or Outage(lambda: worker)
        self._renewed_at = self._gapless_since = elapsed()
        self._error: Exception | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="turnspit-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin, right after the worker was registered."""
        self._thread.start()

    @property
    def is_current(self) -> bool:
        """Whether the lease is still running, as far as this worker can know."""
        return elapsed() - self._renewed_at < self._lease

    @property
    def is_gapless(self) -> bool:
        """Whether the lease was renewed on time, again and again, for one lease time. Whoever was held up in it must
        believe that others were too, and may only not have had their turn yet.
        """
        return self.is_current and elapsed() - self._gapless_since >= self._lease

    @property
    def trouble(self) -> str | None:
        """What keeps the lease from being renewed, for people."""
        silent = elapsed() - self._renewed_at
        if not self.is_current:
            return f"its lease has run out: the store took no heartbeat for {silent:.1f} s"
        return None if self._error is None else f"the store takes no heartbeat: {self._error}"

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if threading.current_thread() is not self._thread and self._thread.is_alive():
            self._thread.join(timeout=2)

    def _run(self) -> None:
        delay = self._interval
        while not self._stopping.wait(delay):
            self._tell()
            try:
                renewed = self._beat()
            except Exception as error:  # whatever it is: a worker whose heart stands still would do nothing any more
                self._error = error
                delay = self._interval * random.uniform(0.1, 0.2)  # noqa: S311  (jitter, not a secret)
                self._outage.failed("heartbeat", error, delay, what="could not renew its lease")
                continue
            self._error = None
            self._outage.answered("heartbeat")
            delay = self._interval
            if self._stopping.is_set():
                return
            if not renewed:
                logger.error("worker %s was declared dead: its jobs belong to others now", self.worker)
                self._on_dead()
                return

    def _tell(self) -> None:
        try:
            self._on_beat()
        except Exception as error:
            logger.warning(
                "worker %s renews its lease; what it does before failed: %s", self.worker, error, exc_info=True
            )

    def _beat(self) -> bool:
        """Renew the lease once; whether it is still this worker's."""
        began = elapsed()
        memory = memory_of(os.getpid())
        if not self._engine.write_apart(self._engine.renew_lease, self.worker, self._microseconds, memory):
            return False
        if elapsed() - self._renewed_at >= self._longest_gap:
            self._gapless_since = elapsed()
        self._renewed_at = began
        return True
