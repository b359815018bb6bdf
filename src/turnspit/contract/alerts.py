"""Alerts; and turns, by which one worker of the fleet does what only one has to do."""

from collections.abc import Collection
from typing import Protocol

from turnspit.contract.verbs import Verb
from turnspit.records import AlertChange, AlertKind, UnknownTask

__all__ = ["Alerts"]


class Alerts(Protocol):
    """The verbs behind ``app.alert``."""

    def take_turn(self, name: str, interval: int) -> Verb[int]:
        """Take the turn of this name, of which there is one every ``interval`` microseconds: 0 if the caller got it,
        otherwise the microseconds until the next one.
        """
        ...

    def settle_alerts(
        self, app: str, rule: str, found: Collection[tuple[AlertKind, str]], repeat: int
    ) -> Verb[list[AlertChange]]:
        """Store which alerts of a rule last now, by kind and subject.

        :returns: what to tell: alerts that begin, those that were last told ``repeat`` microseconds ago or earlier, and
            those that are over. Only one caller gets each of them.
        """
        ...

    def find_unknown_tasks(self) -> Verb[list[UnknownTask]]:
        """The tasks of jobs that are held because no live worker knew their task, by name."""
        ...
