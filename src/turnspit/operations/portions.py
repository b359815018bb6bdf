"""Changes of many jobs, worked through in portions, so that workers go on meanwhile; also at a rate."""

from collections.abc import Callable
from typing import Any

from turnspit.clock import monotonic
from turnspit.contract import Engine
from turnspit.contract.verbs import Verb
from turnspit.errors import ConfigurationError
from turnspit.jobs import JobFilter
from turnspit.operations.changes import CANCEL, DELETE, REPLAY, RUN_NOW, JobChange
from turnspit.states import JobState

__all__ = ["Portions", "check_rate"]

_MOST = 1000
_A_SECOND = 10
"""Portions: at a rate of 50, five jobs begin at a time."""
_FASTEST = 100_000
_LONGEST_REST = 86_400.0
"""Seconds: of a rate that nobody can mean, and longer than a thread can sleep."""
_BY_A_PERSON = "cancelled by a person"


class Portions:
    """Portion after portion of the jobs that match, each beginning after the largest id of the one before.

    Who has one of these writes ``next()``, gives the answer to ``take``, waits for ``rest()``, and goes on while
    there was something. What has not been reached when he stops is as it was.

    :param rate: at most so many jobs a second; ``None``: as fast as it goes.
    :param reason: why they are cancelled.
    :raises ConfigurationError: if that is no rate.
    """

    def __init__(
        self, engine: Engine, change: JobChange, filter_: JobFilter, *, rate: float | None = None, reason: str = ""
    ) -> None:
        self._rate = check_rate(rate)
        verbs: dict[JobChange, Callable[..., Verb[Any]]] = {
            REPLAY: engine.replay_jobs,
            CANCEL: engine.cancel_jobs,
            RUN_NOW: engine.run_jobs_now,
            DELETE: engine.delete_jobs,
        }
        self._verb, self._filter = verbs[change], filter_
        self._words = (reason or _BY_A_PERSON,) if change is CANCEL else ()
        self._is_done: Callable[[Any], bool] = _is_live if change is REPLAY else bool
        self._size = _MOST if rate is None else max(1, min(_MOST, round(rate / _A_SECOND)))
        self._after = self._last = 0
        self._began = monotonic()
        self.changed = 0
        """How many jobs so far."""

    def next(self) -> tuple[Any, ...]:
        """The verb that changes the next portion, and its arguments; the portion's time begins."""
        self._began = monotonic()
        return (self._verb, self._filter, *self._words, self._after, self._size)

    def take(self, found: list[Any]) -> bool:
        """Count what the verb returned; whether there may be more."""
        self._last = sum(map(self._is_done, found))
        self.changed += self._last
        if not found or self._filter.id is not None:
            return False  # to ask for more than one job could fail, and look as if nothing was done
        last = found[-1]
        self._after = last if isinstance(last, int) else last[0]
        return True

    def rest(self) -> float:
        """Seconds until the next portion may begin. Time that a slow store took is not made up for."""
        if self._rate is None or not self._last:
            return 0.0
        return min(max(0.0, self._began + self._last / self._rate - monotonic()), _LONGEST_REST)


def check_rate(rate: object) -> float | None:
    """How many jobs a second.

    :raises ConfigurationError: if it is no number above 0 and up to 100,000.
    """
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= _FASTEST:
        raise ConfigurationError(f"a rate is more than 0 and at most {_FASTEST:,} jobs a second, not {rate!r}")
    return rate


def _is_live(replayed: tuple[int, JobState]) -> bool:
    """A job whose unique key is taken is returned as it is, final."""
    return not replayed[1].is_final
