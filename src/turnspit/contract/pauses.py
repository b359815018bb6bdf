"""Pauses of queues, tasks and tags. What they do to jobs is part of the verbs that claim and ``admit_jobs``."""

from typing import Protocol

from turnspit.contract.verbs import Verb
from turnspit.records import PauseKind, PauseRecord

__all__ = ["Pauses"]


class Pauses(Protocol):
    """The verbs of pauses alone."""

    def pause(self, kind: PauseKind, name: str) -> Verb[bool]:
        """From now on no claim takes a job of this queue, task or tag; ``False`` if it is paused already.

        Jobs of a paused queue stay as they are, because claims skip the queue. Jobs of a paused task or tag become
        ``held``, in portions, when a claim comes across them.
        """
        ...

    def resume(self, kind: PauseKind, name: str) -> Verb[bool]:
        """End a pause; ``False`` if there is none. Of the jobs that were held for it, a portion becomes ready now, the
        rest by ``admit_jobs``, or all of them where the store refuses one.
        """
        ...

    def list_pauses(self) -> Verb[list[PauseRecord]]:
        """What is paused, by kind and name."""
        ...
