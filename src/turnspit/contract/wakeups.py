"""How those who sleep learn that something changed. A wake is a hint: polling always remains behind it."""

from collections.abc import Callable
from typing import Protocol

from turnspit.contract.verbs import Wake

__all__ = ["Listener", "Wakeups"]

Listener = Callable[[Wake], None]


class Wakeups(Protocol):
    """The bell of a store: heard in this process and in others."""

    @property
    def arrive(self) -> bool:
        """Whether wakes of other processes arrive now; else what changed is found by looking alone."""
        ...

    def send(self, wakes: list[Wake]) -> None:
        """Tell every listener of the store; never blocks and never raises. A wake whose receiver is busy may be
        merged with the one that waits there, never dropped without one.
        """
        ...

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener``, in some thread, for every wake from now on; the returned function ends it."""
        ...
