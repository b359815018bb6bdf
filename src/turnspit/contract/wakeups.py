"""How those who wait learn that something changed. A wake is only a hint: they poll as well, but seldom."""

from collections.abc import Callable
from typing import Protocol

from turnspit.contract.verbs import Wake

__all__ = ["Listener", "Wakeups"]

Listener = Callable[[Wake], None]


class Wakeups(Protocol):
    """Sends wakes to the listeners of a store, in this process and in others, and receives them."""

    @property
    def arrive(self) -> bool:
        """Whether wakes of other processes arrive now; if not, changes are found by polling alone."""
        ...

    def send(self, wakes: list[Wake]) -> None:
        """Tell every listener of the store; never blocks and never raises. While a receiver is busy, wakes that wait
        for it may be merged.
        """
        ...

    def listen(self, listener: Listener, patient: Listener | None = None) -> Callable[[], None]:
        """Call ``listener``, in any thread, for every wake from now on; the returned function, which never blocks, ends
        that.

        :param patient: called in its place for wakes that came from other processes. The thread that calls it does
            nothing but wait for them, so it may ask the store something.
        """
        ...
