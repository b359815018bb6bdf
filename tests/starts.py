"""When a worker decides to begin a limited job. How long a busy machine takes from there to the first line of its
handler is no matter of its limit.
"""

import time
from collections.abc import Callable
from typing import Any

from turnspit._runtime.worker.conditions import Conditions

__all__ = ["record_starts"]


def record_starts(patch: Callable[[Any, str, Any], None] = setattr) -> dict[int, float]:
    """The moment of each decision from now on, in seconds, by the job; of several, the last."""
    starts: dict[int, float] = {}
    is_late = Conditions.is_late

    def recorded(conditions: Conditions, claim: Any) -> bool:
        starts[claim.id] = time.time()  # before it is made
        return is_late(conditions, claim)

    patch(Conditions, "is_late", recorded)
    return starts
