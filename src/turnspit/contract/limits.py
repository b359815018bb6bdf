"""Limits. A job with a limit is ``held``, where only ``claim_limited_jobs`` finds it."""

from collections.abc import Sequence
from typing import Protocol

from turnspit.contract.verbs import Verb
from turnspit.errors import EngineUnavailable
from turnspit.records import FullKey, LimitChange, LimitedClaims, LimitedRequest, LimitRule

__all__ = ["Limits", "NotItsTurn"]


class NotItsTurn(EngineUnavailable):
    """Another claim of limited jobs took too long. Nothing was claimed."""


class Limits(Protocol):
    """The verbs of limits alone."""

    def claim_limited_jobs(self, request: LimitedRequest) -> Verb[LimitedClaims]:
        """Claim held jobs that their limits let through now, at most ``slots`` of them.

        Letting a job through and claiming it are one step. No window of a rate holds more admissions than the limit
        (and with a burst, no window of ``per * burst / allowed`` more than the burst); no concurrency key has more
        running jobs than its limit. Lanes take turns, the one that was served least recently first, with an equal
        share of the slots; inside a lane larger priority first, then smaller id.

        :raises NotItsTurn: if another such claim takes long. A worker that waited for it would claim no other jobs.
        """
        ...

    def assign_lanes(self, lanes: Sequence[tuple[int, int, str]]) -> Verb[int]:
        """Put running jobs that have limits but came without a lane, as from SQL, into their lanes: they become held,
        and their attempt is restored.

        :param lanes: ``(id, fence, lane)`` of each.
        :returns: how many claims were current.
        """
        ...

    def acquire_permit(self, rule: LimitRule) -> Verb[int]:
        """Take one permit of a rate for something that is not a job: 0, or the microseconds until there may be one."""
        ...

    def set_limit(self, change: LimitChange) -> Verb[None]:
        """Change a limit for all its keys, from now on and for every worker."""
        ...

    def reset_limit(self, name: str) -> Verb[bool]:
        """Undo a change; whether there was one."""
        ...

    def list_limits(self) -> Verb[list[LimitChange]]:
        """The limits that were changed, by name."""
        ...

    def list_full_keys(self, limit: int, rates: Sequence[LimitRule] = ()) -> Verb[list[FullKey]]:
        """Keys of concurrency limits and of rates that let nothing through now, by name and key, at most ``limit``.

        These are keys for which jobs wait, and the keys of ``rates`` even if no job waits for them. Where there are
        very many keys, only some are looked at: of rates those for which the next jobs wait.
        """
        ...

    def prune_limits(self, limit: int) -> Verb[int]:
        """Remove lanes in which nothing waits, and keys of which nothing counts any more; make lanes due that were
        missed. How many were removed.
        """
        ...
