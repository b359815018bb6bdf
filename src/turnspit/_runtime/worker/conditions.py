"""Under which conditions claimed jobs begin: by when at the latest, and with which error their attempt fails at once.

By job and fence, and only while this worker has the claim: the job may come back with another one.
"""

from collections.abc import Iterable

from turnspit.clock import monotonic
from turnspit.records import Claim

__all__ = ["Conditions"]


class Conditions:
    """Those of one worker."""

    def __init__(self) -> None:
        self._until: dict[tuple[int, int], float] = {}
        self._refused: dict[tuple[int, int], BaseException] = {}

    def __len__(self) -> int:
        return len(self._until) + len(self._refused)

    def begin_until(self, claims: Iterable[Claim], until: float) -> None:
        """These begin by then, by ``monotonic``, or go back: a rate counts when they start."""
        self._until.update(((claim.id, claim.fence), until) for claim in claims)

    def is_late(self, claim: Claim) -> bool:
        """Whether it is too late for it to begin; asked once, as it is about to."""
        until = self._until.pop((claim.id, claim.fence), None)
        return until is not None and monotonic() > until

    def refuse(self, claim: Claim, error: BaseException) -> None:
        """It must not run: its attempt fails with this."""
        self._refused[claim.id, claim.fence] = error

    def refusal_of(self, claim: Claim) -> BaseException | None:
        """With what its attempt fails; ``None`` if it may run."""
        return self._refused.get((claim.id, claim.fence)) if self._refused else None

    def forget(self, *claims: Claim | None) -> None:
        """These claims are over here: they ended, went back, or were lost."""
        if not (self._until or self._refused):  # asked at the end of each job
            return
        for claim in claims:
            if claim is not None:
                self._until.pop((claim.id, claim.fence), None)
                self._refused.pop((claim.id, claim.fence), None)
