"""A fork takes no connection along: before it, engines let go of theirs; the child begins anew."""

import os
import threading
import weakref
from typing import Protocol

__all__ = ["guard_forks"]


class _Forkable(Protocol):
    def prepare_fork(self) -> None:
        """Before a fork: let go of connections, and open none until ``resume_after_fork``; all or nothing."""
        ...

    def resume_after_fork(self) -> None:
        """In the parent: go on."""
        ...

    def forget_after_fork(self) -> None:
        """In the child: begin anew. What could not be let go of is kept, never closed."""
        ...


class _Forks:
    """One fork at a time: two threads that fork must not take each other's engines for their own."""

    def __init__(self) -> None:
        self.engines: weakref.WeakSet[_Forkable] = weakref.WeakSet()
        self._begin_anew()

    def _begin_anew(self) -> None:
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
            return  # Ctrl-C or an alarm ended ``before``, and Python forked all the same
        prepared, self._prepared, self._forker = self._prepared, [], None
        try:
            for engine in prepared:
                engine.resume_after_fork()
        finally:
            self._turn.release()

    def in_child(self) -> None:
        self._begin_anew()
        for engine in list(self.engines):
            engine.forget_after_fork()


_forks = _Forks()


def guard_forks(engine: _Forkable) -> None:
    """Tell this engine of every fork while it lives."""
    _forks.engines.add(engine)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_forks.before, after_in_parent=_forks.in_parent, after_in_child=_forks.in_child)
