"""A fork takes no connection along: before it, engines let go of theirs; the child begins anew."""

import os
import weakref
from typing import Protocol

__all__ = ["guard_forks"]


class _Forkable(Protocol):
    def prepare_fork(self) -> None:
        """Before a fork: let go of connections, and open none until ``resume_after_fork``."""
        ...

    def resume_after_fork(self) -> None:
        """In the parent: go on."""
        ...

    def forget_after_fork(self) -> None:
        """In the child: begin anew. What could not be let go of is kept, never closed."""
        ...


_engines: "weakref.WeakSet[_Forkable]" = weakref.WeakSet()
_forking: list[_Forkable] = []


def guard_forks(engine: _Forkable) -> None:
    """Tell this engine of every fork while it lives."""
    _engines.add(engine)


def _prepare_fork() -> None:
    _forking[:] = _engines
    for engine in _forking:
        engine.prepare_fork()


def _resume_parent() -> None:
    for engine in _forking:
        engine.resume_after_fork()
    _forking.clear()


def _resume_child() -> None:
    for engine in _forking:
        engine.forget_after_fork()
    _forking.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_prepare_fork, after_in_parent=_resume_parent, after_in_child=_resume_child)
