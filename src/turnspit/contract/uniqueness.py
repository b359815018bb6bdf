"""Unique keys. What a new job with a taken key becomes is part of ``insert_job`` and ``insert_jobs``."""

from typing import Protocol

from turnspit.contract.verbs import Verb

__all__ = ["Uniqueness"]


class Uniqueness(Protocol):
    """The verbs of unique keys alone."""

    def prune_keys(self, limit: int) -> Verb[int]:
        """Forget keys that nobody holds any more, at most ``limit`` a call: how many were looked at."""
        ...
