"""How many jobs a worker claims beyond its free slots: about 100 ms of its own measured work.

So no-op jobs come in hundreds, and slow jobs one by one.
"""

from collections.abc import Callable, Sequence

from turnspit.clock import monotonic
from turnspit.records import Claim

__all__ = ["Prefetch"]

_AHEAD = 0.1
_MOST_AHEAD = 2000
_MOST_TEXT_AHEAD = 8_000_000
"""Characters of arguments, by the average of the claims before."""
_MEASURE = 0.05


class Prefetch:
    """The prefetch of one worker, which follows how fast jobs end there."""

    def __init__(self) -> None:
        self.jobs = 0
        """How many jobs to claim beyond the free slots."""
        self.on_change: Callable[[int], None] = lambda jobs: None
        self._size = 1.0
        """Characters that a job's arguments have here."""
        self._measured_at = monotonic()
        self._ended_by_then = 0

    def measure(self, now: float, *, ended: int, slots: int) -> None:
        """Set it anew, after 50 ms or two rounds of all slots, whichever comes first.

        :param ended: how many jobs have ended here since the worker began.
        """
        elapsed, newly = now - self._measured_at, ended - self._ended_by_then
        if elapsed >= _MEASURE or (elapsed > 0 and newly >= 2 * slots):
            self.jobs = min(self._most, int(newly / elapsed * _AHEAD))
            self._measured_at, self._ended_by_then = now, ended
            self.on_change(self.jobs)

    def weigh(self, claims: Sequence[Claim]) -> None:
        """Ask for fewer where the arguments of these are large."""
        self._size = max(sum(len(claim.args) for claim in claims) / len(claims), self._size / 2, 1.0)
        self.jobs = min(self.jobs, self._most)

    @property
    def _most(self) -> int:
        """What this process has the memory for."""
        return min(_MOST_AHEAD, int(_MOST_TEXT_AHEAD / self._size))
