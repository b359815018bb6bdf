"""Pauses of queues, tasks and tags. What they do to jobs is part of the verbs that claim and ``admit_jobs``."""

from typing import Protocol

from turnspit.contract.verbs import Verb
from turnspit.records import Pause, PauseKind

__all__ = ["Pauses"]


class Pauses(Protocol):
    """The verbs of pauses alone."""

    def pause(self, kind: PauseKind, name: str) -> Verb[bool]:
        """From now on no claim takes a job of this queue, task or tag; ``False`` if it is paused already.

        Jobs of a paused queue stay as they are and the queue is not looked at. Jobs of a paused task or tag that stand
        in a claim's way become ``held``, in portions.
        """
        ...

    def resume(self, kind: PauseKind, name: str) -> Verb[bool]:
        """The end of a pause; ``False`` if there is none. The first jobs that were held for it become ready; for the
        rest there is ``admit_jobs``.
        """
        ...

    def list_pauses(self) -> Verb[list[Pause]]:
        """What is paused, by kind and name."""
        ...
