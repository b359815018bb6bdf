"""Alerts, and turns: who in the fleet does next what only one has to do."""

from collections.abc import Collection
from typing import Protocol

from turnspit.contract.verbs import Verb
from turnspit.records import AlertChange, AlertKind, UnknownTask

__all__ = ["Alerts"]


class Alerts(Protocol):
    """The verbs behind ``app.alert``."""

    def take_turn(self, name: str, interval: int) -> Verb[int]:
        """Take the turn of this name, of which there is one each ``interval`` microseconds: 0 if the caller has it,
        else how many microseconds remain until the next.
        """
        ...

    def settle_alerts(
        self, app: str, rule: str, found: Collection[tuple[AlertKind, str]], repeat: int
    ) -> Verb[list[AlertChange]]:
        """Keep which alerts of a rule last now, by kind and subject; what is to be told: those that begin, those last
        told ``repeat`` microseconds ago, and those that are over. Each is given to one caller alone.
        """
        ...

    def find_unknown_tasks(self) -> Verb[list[UnknownTask]]:
        """The tasks of jobs that are held because no live worker knew them, by name."""
        ...
