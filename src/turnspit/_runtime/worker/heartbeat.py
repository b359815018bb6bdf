"""Keeps the worker's lease, from a thread of its own: a handler that blocks the event loop loses no lease."""

import logging
import threading
from collections.abc import Callable

from turnspit.clock import monotonic
from turnspit.contract import Engine
from turnspit.errors import TurnspitError

__all__ = ["Heartbeat"]

logger = logging.getLogger("turnspit")


class Heartbeat:
    """Renews the lease every ``interval`` seconds.

    :param on_dead: called once, in this thread, when another worker declared this one dead.
    :param on_beat: called before each renewal, in this thread.
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
    ) -> None:
        self.worker = worker
        self._engine = engine
        self._lease = lease
        self._interval = interval
        self._on_dead = on_dead
        self._on_beat = on_beat
        self._renewed_at = self._gapless_since = monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="turnspit-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin, right after the worker was registered."""
        self._thread.start()

    @property
    def is_current(self) -> bool:
        """Whether the lease is still running, as far as this worker can know."""
        return monotonic() - self._renewed_at < self._lease

    @property
    def is_gapless(self) -> bool:
        """Whether the lease was renewed without a gap for one lease time."""
        return self.is_current and monotonic() - self._gapless_since >= self._lease

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if threading.current_thread() is not self._thread and self._thread.is_alive():
            self._thread.join(timeout=2)

    def _run(self) -> None:
        while not self._stopping.wait(self._interval):
            began = monotonic()
            self._on_beat()
            try:
                renewed = self._engine.write(self._engine.renew_lease, self.worker, int(self._lease * 1_000_000))
            except TurnspitError as error:
                logger.warning("worker %s could not renew its lease: %s", self.worker, error)
                continue
            if self._stopping.is_set():
                return
            if not renewed:
                logger.error("worker %s was declared dead: its jobs belong to others now", self.worker)
                self._on_dead()
                return
            if began - self._renewed_at >= self._lease:
                self._gapless_since = began
            self._renewed_at = began
