"""What a worker logs about failures that it tries again.

A store that is away gets a line when that begins and one when it is over, not one for each retry.
"""

import logging
import threading
from collections.abc import Callable

from turnspit.clock import monotonic
from turnspit.errors import EngineUnavailable, TurnspitError

__all__ = ["Outage"]

logger = logging.getLogger("turnspit")


class Outage:
    """Shared by everything in a worker that asks the store, on whatever thread.

    It lasts from the first failure until each that failed has succeeded.

    :param worker: the number of the worker, for what is said.
    """

    def __init__(self, worker: Callable[[], int] = lambda: 0) -> None:
        self._worker = worker
        self._lock = threading.Lock()
        self._missing: set[str] = set()
        self._since = 0.0

    def failed(self, who: str, error: Exception, delay: float, *, what: str | None = None) -> None:
        """Log what failed and will be tried again: an outage once, anything else each time, with a traceback if it is
        not one of Turnspit's own errors.

        :param who: to be given to ``answered`` once it worked.
        :param delay: seconds until the next try.
        :param what: what the worker could not do, where ``who`` alone does not say it.
        """
        if isinstance(error, EngineUnavailable):
            self._notice(who, error)
            return
        unforeseen = not isinstance(error, TurnspitError)
        text = "worker %s %s: %s; trying again in %.1f s"
        logger.warning(text, self._worker(), what or f"({who})", error, delay, exc_info=error if unforeseen else None)

    def _notice(self, who: str, error: EngineUnavailable) -> None:
        with self._lock:
            is_first = not self._missing
            self._missing.add(who)
            if is_first:
                self._since = monotonic()
        if is_first:
            logger.warning(
                "worker %s (%s): %s; running jobs go on, what ends is kept, and the store is asked until it answers",
                self._worker(),
                who,
                error,
            )
        else:
            logger.debug("%s: %s", who, error)

    def answered(self, who: str) -> None:
        """The store answered; the outage is over once it has answered everybody that failed."""
        if who not in self._missing:
            return
        with self._lock:
            self._missing.discard(who)
            if self._missing:
                return
        logger.warning("worker %s: the store answers again, after %.1f s", self._worker(), monotonic() - self._since)
