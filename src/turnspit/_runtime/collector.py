"""Python's collector of circular garbage, in a process that is a worker (docs/decisions/0071, 0076)."""

import gc

__all__ = ["Collector"]

_USUAL_THRESHOLDS = (700, 2000)
"""After so many new objects Python collects where the program has not set a threshold: up to 3.12, from 3.13 on."""
_OBJECTS = 5
"""The objects that a short job takes, about."""


class Collector:
    """While thousands of short jobs are in flight, it collects less often: their objects would be looked at again and
    again before each job ends, without a single one being garbage. Longer jobs are few at a time, and change nothing.
    """

    def __init__(self) -> None:
        self._threshold, *self._others = gc.get_threshold()

    def freeze(self) -> None:
        """Leave what exists now alone: the program itself, which each full collection would walk for 25 ms."""
        gc.freeze()

    def follow(self, jobs: int) -> None:
        """So many jobs are in flight. A threshold that the program has set stays."""
        if self._threshold in _USUAL_THRESHOLDS:
            gc.set_threshold(max(self._threshold, _OBJECTS * jobs), *self._others)

    def restore(self) -> None:
        """Collect as before: the process goes on as something else."""
        gc.unfreeze()
        gc.set_threshold(self._threshold, *self._others)
