"""What an engine brings to the verbs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from turnspit.clock import Clock
from turnspit.jobs import JobFilter

__all__ = ["Brought"]


class Brought(ABC):
    """The base of all verbs: an engine's named SQL blocks, its way to write a filter, and its clock.

    Every engine has a block of each name that the verbs use. Parameters are written ``:name``; lists travel as one
    JSON text.
    """

    clock: Clock
    sql: Mapping[str, str]

    @abstractmethod
    def where(self, filter_: JobFilter) -> tuple[str, dict[str, Any]]:
        """The condition of a filter, and its parameters."""
