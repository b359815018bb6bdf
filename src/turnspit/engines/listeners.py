"""Those who listen to a store's wakes in this process."""

import logging
from collections.abc import Iterable

from turnspit.contract.verbs import Wake
from turnspit.contract.wakeups import Listener

__all__ = ["Listeners"]

logger = logging.getLogger("turnspit")


class Listeners:
    """Is told of wakes, and tells each listener. The lists are replaced, never changed: no lock is held meanwhile."""

    def __init__(self) -> None:
        self._of_own: list[Listener] = []
        self._of_others: list[Listener] = []

    def __bool__(self) -> bool:
        return bool(self._of_own)

    def add(self, listener: Listener, patient: Listener | None) -> None:
        """See ``contract.wakeups``."""
        self._of_own = [*self._of_own, listener]
        self._of_others = [*self._of_others, patient or listener]

    def remove(self, listener: Listener, patient: Listener | None) -> None:
        """Tell it nothing any more."""
        self._of_own = [each for each in self._of_own if each is not listener]
        self._of_others = [each for each in self._of_others if each is not (patient or listener)]

    def tell_of_own(self, wakes: Iterable[Wake]) -> None:
        """Tell of what a call of this process did, on its thread."""
        _tell(self._of_own, wakes)

    def tell_of_others(self, wakes: Iterable[Wake]) -> None:
        """Tell of what came from elsewhere, on the thread that waits for such wakes."""
        _tell(self._of_others, wakes)


def _tell(listeners: list[Listener], wakes: Iterable[Wake]) -> None:
    for listener in listeners:
        for wake in wakes:
            try:
                listener(wake)
            except Exception:
                logger.exception("a wake-up listener failed")
