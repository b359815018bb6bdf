"""In which order a claim goes through queues, and how much it takes from each."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from turnspit.contract.jobs import MOST_QUEUES

__all__ = ["Turn", "in_turn", "share_out"]

Turn = Mapping[str, Any]
"""A ``queue`` and its ``share``. With a bound also the ``priority`` and the id (``after``) of the last claimed job."""


def in_turn(queues: Collection[str], after: str) -> list[str]:
    """Queues in the order in which they are served, beginning after queue ``after``.

    >>> in_turn(["a", "b", "c"], "a")
    ['b', 'c', 'a']
    """
    return sorted(queues, key=lambda queue: (queue <= after, queue))


def share_out(queues: Sequence[str], limit: int) -> list[Turn]:
    """Share a limit among queues; a turn for each, at most ``MOST_QUEUES``.

    >>> share_out(["a", "b", "c"], 4)
    [{'queue': 'a', 'share': 2}, {'queue': 'b', 'share': 2}]
    """
    share = -(-limit // min(len(queues), MOST_QUEUES))
    serving = queues[: -(-limit // share)]
    return [{"queue": queue, "share": min(share, limit - share * place)} for place, queue in enumerate(serving)]
