"""What the verbs need from an engine."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from turnspit.clock import Clock
from turnspit.jobs import JobFilter

__all__ = ["VerbBase"]


class VerbBase(ABC):
    """The base of all verbs: an engine's named SQL blocks, its way to write a filter, and its clock.

    Every engine has a block of each name that the verbs use. Parameters are written ``:name``; a list is passed as one
    JSON text.
    """

    clock: Clock
    sql: Mapping[str, str]

    @abstractmethod
    def where(self, filter_: JobFilter) -> tuple[str, dict[str, Any]]:
        """A filter as an SQL condition, and its parameters."""
