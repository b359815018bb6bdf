"""How many more jobs a limit lets through. Pure arithmetic on moments, without a store.

>>> from turnspit.records import LimitRule
>>> rule = LimitRule("send rate", "send rate", 2, 1_000_000)
>>> key = RateKey([], 0, now=5_000_000)
>>> key.take(2, rule); key.free(rule), key.opens_at(rule)
(0, 6000000)
"""

from collections.abc import Iterable

from turnspit.records import LimitRule

__all__ = ["RateKey", "SlotKey"]

_GRAINS = 200
"""Admissions within the same 200th of the window are kept as one, with the moment of the last. So a key's row stays
small; a window may let slightly less through for that, never more.
"""


class RateKey:
    """The state of one key of a rate, at the moment ``now``.

    :param admitted: moments, in order, and how many jobs began at each.
    """

    def __init__(self, admitted: Iterable[tuple[int, int]], held_back_until: int, *, now: int) -> None:
        # A moment in the future was stored before the clock was set back: it counts as now.
        self._admitted = [(min(moment, now), count) for moment, count in admitted]
        self._held_back_until = held_back_until
        self._now = now
        self.longest = 0
        """The longest window of the rules by which something was taken."""

    def free(self, rule: LimitRule) -> int:
        """How many more may begin now."""
        if self._held_back_until > self._now:
            return 0
        return max(0, min(allowed - self._count(window) for allowed, window in _windows(rule)))

    def take(self, count: int, rule: LimitRule) -> None:
        """Let so many begin now."""
        self.longest = max(self.longest, rule.per)
        grain = max(1, rule.per // _GRAINS)
        if self._admitted and self._admitted[-1][0] // grain == self._now // grain:
            self._admitted[-1] = (self._now, self._admitted[-1][1] + count)
        else:
            self._admitted.append((self._now, count))

    def give_back(self, count: int) -> None:
        """Undo ``take`` for so many, which do not begin after all."""
        self._admitted[-1] = (self._now, self._admitted[-1][1] - count)

    def opens_at(self, rule: LimitRule) -> int:
        """When one more may begin, if none may now."""
        moment = max(self._now, self._held_back_until)
        for allowed, window in _windows(rule):
            over = self._count(window) - allowed
            for admitted, count in self._admitted:
                if over < 0:
                    break
                if admitted > self._now - window:
                    over -= count
                    moment = max(moment, admitted + window)
        return moment

    def begun(self, rule: LimitRule) -> int:
        """How many began within the rule's time."""
        return self._count(rule.per)

    def kept(self) -> list[tuple[int, int]]:
        """The admissions that still count, to be stored."""
        return [each for each in self._admitted if each[0] > self._now - self.longest and each[1]]

    def _count(self, window: int) -> int:
        return sum(count for moment, count in self._admitted if moment > self._now - window)


class SlotKey:
    """The state of one key of a concurrency limit."""

    def __init__(self, taken: int) -> None:
        self._taken = taken

    def free(self, rule: LimitRule) -> int:
        """How many more may run."""
        return max(0, rule.allowed - self._taken)

    def take(self, count: int, rule: LimitRule) -> None:
        """Let so many begin now."""
        del rule
        self._taken += count

    def give_back(self, count: int) -> None:
        """Undo ``take`` for so many, which do not begin after all."""
        self._taken -= count


def _windows(rule: LimitRule) -> list[tuple[int, int]]:
    windows = [(rule.allowed, rule.per)]
    if rule.burst is not None and rule.burst < rule.allowed:
        windows.append((rule.burst, rule.per * rule.burst // rule.allowed))
    return windows
