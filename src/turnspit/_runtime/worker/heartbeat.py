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
from turnspit.records import BlockedLoop, Renewal

__all__ = ["Heartbeat"]

logger = logging.getLogger("turnspit")


class Heartbeat:
    """Renews the lease every ``interval`` seconds, on a connection of its own.

    What failed is tried again sooner.

    :param since: the ``elapsed()`` from which the first lease counts: before the store was asked for it, as at each
        renewal. The store must not take a lease for over while its worker believes in it.
    :param on_dead: called once, in this thread, when another worker declared this one dead.
    :param look: asked before each renewal, in this thread, whether the event loop is blocked; the lease is renewed
        whatever it raises.
    :param stop_blocked: called once, in this thread, when a person asked the worker to stop whose event loop is
        blocked, and which hears of it nowhere else.
    """

    def __init__(
        self,
        engine: Engine,
        worker: int,
        *,
        since: float,
        lease: float,
        interval: float,
        on_dead: Callable[[], object],
        look: Callable[[], BlockedLoop | None],
        stop_blocked: Callable[[], object] = lambda: None,
        outage: Outage | None = None,
    ) -> None:
        self.worker = worker
        self._engine = engine
        self._lease = lease
        self._microseconds = int(lease * 1_000_000)
        self._interval = interval
        self._on_dead = on_dead
        self._look = look
        self._stop_blocked = stop_blocked
        self._was_told_to_stop = False
        self._longest_gap = min(lease, 2 * interval)
        self._outage = outage or Outage(lambda: worker)
        self._renewed_at, self._gapless_since = since, elapsed()
        self._error: Exception | None = None
        self._danger: str | None = None
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
        return self._danger if self._error is None else f"the store takes no heartbeat: {self._error}"

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if threading.current_thread() is not self._thread and self._thread.is_alive():
            self._thread.join(timeout=2)

    def _run(self) -> None:
        delay = self._interval
        while not self._stopping.wait(delay):
            blocked = self._look_at_loop()
            try:
                renewal = self._beat(blocked)
            except Exception as error:  # whatever it is: a worker whose heart stands still would do nothing any more
                self._error = error
                delay = self._interval * random.uniform(0.1, 0.2)  # noqa: S311  (jitter, not a secret)
                self._outage.failed("heartbeat", error, delay, what="could not renew its lease")
                continue
            self._error = None
            self._outage.answered("heartbeat")
            self._look_for_danger()
            delay = self._interval
            if self._stopping.is_set():
                return
            if renewal is None:
                logger.error("worker %s was declared dead: its jobs belong to others now", self.worker)
                self._on_dead()
                return
            if blocked is not None and renewal.asked_to == "stop" and not self._was_told_to_stop:
                self._was_told_to_stop = True
                self._stop_blocked()

    def _look_at_loop(self) -> BlockedLoop | None:
        try:
            return self._look()
        except Exception as error:
            logger.warning(
                "worker %s renews its lease; its look at the event loop failed: %s", self.worker, error, exc_info=True
            )
            return None

    def _look_for_danger(self) -> None:
        """Ask the store what no call notices; a danger is logged when it is new."""
        known = self._danger
        try:
            self._danger = self._engine.find_danger()
        except Exception as error:
            logger.warning("worker %s renews its lease; its look at the store failed: %s", self.worker, error)
        if self._danger is not None and self._danger != known:
            logger.error("worker %s: %s", self.worker, self._danger)

    def _beat(self, blocked: BlockedLoop | None = None) -> Renewal | None:
        """Renew the lease once; ``None`` if it is no longer this worker's."""
        began = elapsed()
        memory = memory_of(os.getpid())
        renew = self._engine.renew_lease
        renewal = self._engine.write_apart(renew, self.worker, self._microseconds, memory, blocked)
        if renewal is None:
            return None
        if elapsed() - self._renewed_at >= self._longest_gap:
            self._gapless_since = elapsed()
        self._renewed_at = began
        return renewal
