"""Makes forks safe: engines close their connections before a fork, so that the child inherits none."""

import os
import threading
import weakref
from contextlib import ExitStack
from typing import Protocol

__all__ = ["guard_forks"]


class _Forkable(Protocol):
    def prepare_fork(self) -> None:
        """Before a fork: close connections, and open none until ``resume_after_fork``; all of that, or raise."""
        ...

    def resume_after_fork(self) -> None:
        """In the parent: go on."""
        ...

    def forget_after_fork(self) -> None:
        """In the child: start anew. What could not be closed before is kept, and never closed."""
        ...


class _Forks:
    """Calls every engine before and after a fork. One fork at a time: threads that fork take turns."""

    def __init__(self) -> None:
        self.engines: weakref.WeakSet[_Forkable] = weakref.WeakSet()
        self._start_anew()

    def _start_anew(self) -> None:
        self._turn = threading.Lock()
        self._forker: int | None = None
        self._prepared: list[_Forkable] = []

    def before(self) -> None:
        self._turn.acquire()
        self._forker = threading.get_ident()
        for engine in list(self.engines):
            engine.prepare_fork()
            self._prepared.append(engine)

    def in_parent(self) -> None:
        if self._forker != threading.get_ident():
            return  # Ctrl-C or a signal handler interrupted ``before``, and Python forked all the same
        prepared, self._prepared, self._forker = self._prepared, [], None
        with ExitStack() as stack:  # one that cannot go on, as without threads, keeps no other from it
            stack.callback(self._turn.release)
            for engine in prepared:
                stack.callback(engine.resume_after_fork)

    def in_child(self) -> None:
        self._start_anew()
        for engine in list(self.engines):
            engine.forget_after_fork()


_forks = _Forks()


def guard_forks(engine: _Forkable) -> None:
    """Call this engine before and after every fork, for as long as it exists."""
    _forks.engines.add(engine)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_forks.before, after_in_parent=_forks.in_parent, after_in_child=_forks.in_child)
