"""Unique keys. What a new job with a taken key becomes is part of ``insert_job`` and ``insert_jobs``."""

from collections.abc import Sequence
from typing import Protocol

from turnspit.contract.verbs import Verb
from turnspit.records import OpenClaim

__all__ = ["Uniqueness"]


class Uniqueness(Protocol):
    """The verbs of unique keys alone."""

    def settle_keys(self, claims: Sequence[OpenClaim]) -> Verb[list[int]]:
        """Let claimed jobs that came with ``OPEN_KEY`` hold their keys: the ids of those that may run now.

        What its rule does with a later job of a taken key happens to the others: they end as cancelled, naming the
        holder, which has their arguments where the rule says ``replace``. One that is to be quiet first is put off. A
        claim that was lost is left alone, and a call that is repeated changes nothing.
        """
        ...

    def prune_keys(self, limit: int) -> Verb[int]:
        """Forget keys that nobody holds any more, at most ``limit`` a call: how many were looked at."""
        ...
