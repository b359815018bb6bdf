"""Limits. A job with a limit is ``held`` until one of these verbs lets it through; no other claim finds it."""

from collections.abc import Sequence
from typing import Protocol

from turnspit.contract.verbs import Verb
from turnspit.records import FullKey, LimitChange, LimitedClaims, LimitedRequest, LimitRule

__all__ = ["Limits"]


class Limits(Protocol):
    """The verbs of limits alone."""

    def claim_limited_jobs(self, request: LimitedRequest) -> Verb[LimitedClaims]:
        """Give a worker held jobs that their limits let through now, at most ``slots``; they become ``running``.

        Being let through and being claimed are one act. No window of a rate holds more admissions than the limit
        (and with a burst, no window of ``per * burst / allowed`` more than the burst); no concurrency key has more
        running jobs than its limit. Lanes take turns, the one that was served least recently first, with an equal
        share of the slots; inside a lane larger priority first, then smaller id.
        """
        ...

    def assign_lanes(self, lanes: Sequence[tuple[int, int, str]]) -> Verb[int]:
        """Put running jobs that came without a lane, as ``(id, fence, lane)``, into theirs: they are held and their
        attempt is restored. How many.
        """
        ...

    def acquire_permit(self, rule: LimitRule) -> Verb[int]:
        """Take one permit of a rate for what is not a job: 0, or microseconds until there may be one."""
        ...

    def set_limit(self, change: LimitChange) -> Verb[None]:
        """Change a limit for all its keys, from now on and for every worker."""
        ...

    def reset_limit(self, name: str) -> Verb[bool]:
        """Forget a change; whether there was one."""
        ...

    def list_limits(self) -> Verb[list[LimitChange]]:
        """The limits that were changed, by name."""
        ...

    def list_full_keys(self, limit: int) -> Verb[list[FullKey]]:
        """Keys of concurrencies for which jobs wait now, by name and key, at most ``limit``."""
        ...

    def prune_limits(self, limit: int) -> Verb[int]:
        """Forget lanes in which nothing waits and keys of which nothing counts any more, and look again at lanes
        that should not have been forgotten: how many were looked at.
        """
        ...
