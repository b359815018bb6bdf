"""Unique keys. What a new job with a taken key becomes is part of ``insert_job`` and ``insert_jobs``."""

from collections.abc import Sequence
from typing import Any, Protocol

from turnspit.contract.verbs import Verb
from turnspit.records import Inserted, NewJob, OpenClaim

__all__ = ["Uniqueness"]


class Uniqueness(Protocol):
    """The verbs of unique keys alone."""

    def find_holder(self, new: NewJob[Any]) -> Verb[Inserted | None]:
        """What ``insert_job`` would find in place of a new job, which has a unique key: the holder of that, with the
        new one's arguments where the rule says ``replace``. ``None`` where nobody holds it; nothing is stored then.

        :raises JobExists: if there is one, and the rule says ``raise``.
        """
        ...

    def settle_keys(self, claims: Sequence[OpenClaim]) -> Verb[list[int]]:
        """Let claimed jobs that came with ``OPEN_KEY`` hold their keys; the ids of those that may run now.

        A job whose key is taken is treated as a later job of that key: it is cancelled, with a reason that names the
        holder, which gets its arguments first where the rule says ``replace``. A debounced job is scheduled for later.
        Lost claims are ignored, and a repeated call changes nothing.
        """
        ...

    def prune_keys(self, limit: int) -> Verb[int]:
        """Remove keys that nobody holds any more, looking at ``limit`` at most; how many were looked at."""
        ...
