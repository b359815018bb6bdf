"""What a worker knows of jobs that it could claim."""

from enum import IntEnum

__all__ = ["Work"]


class Work(IntEnum):
    """What a worker knows of jobs that it could claim."""

    NONE = 0
    """The last claim left none."""
    POSSIBLE = 1
    """Something became ready, or the last claim may have left some."""
    SEEN = 2
    """The store has seen ready jobs. They may wait behind jobs that nobody knows, which only the full claim, by
    ``claim_jobs``, sets aside.
    """
