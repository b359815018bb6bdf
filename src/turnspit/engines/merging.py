"""Merges wakes, and writes them as text for other processes."""

from collections.abc import Iterable

from turnspit.contract.verbs import Wake, WakeKind

__all__ = ["EVERYTHING", "from_text", "merge", "to_text"]

EVERYTHING = tuple(Wake(kind) for kind in WakeKind)
"""A wake of every kind, for those who may have missed something."""

_MOST_IDS = 200
_LONGEST = 3500
"""Characters of ids. PostgreSQL refuses a notification of 8,000 bytes, and a transaction of the caller's with it."""


def merge(wakes: Iterable[Wake]) -> tuple[Wake, ...]:
    """One wake for each kind. Too many ids become none, which means any job."""
    wakes = tuple(wakes)
    if len(wakes) == 1:
        return wakes
    merged: dict[WakeKind, tuple[int, ...] | None] = {}
    for kind, jobs in wakes:
        known = merged.get(kind, ())
        if kind in merged and (not known or not jobs):
            merged[kind] = ()
        else:
            both = (known or ()) + jobs
            merged[kind] = both if len(both) <= _MOST_IDS else ()
    return tuple(Wake(kind, jobs or ()) for kind, jobs in merged.items())


def to_text(wakes: Iterable[Wake]) -> str:
    """A line for each wake. Where the ids would be too long for a notification it has none, which means any job.

    >>> to_text([Wake(WakeKind.FINISHED, (7, 8))])
    'finished 7,8'
    """
    lines = ((wake.kind, ",".join(map(str, wake.jobs))) for wake in wakes)
    return "\n".join(f"{kind} {ids if len(ids) <= _LONGEST else ''}" for kind, ids in lines)


def from_text(text: str) -> list[Wake]:
    """The wakes of a text. A text that cannot be read, as of a newer release, counts as a wake of every kind."""
    try:
        return [_from_line(line) for line in text.splitlines() if line]
    except ValueError:
        return list(EVERYTHING)


def _from_line(line: str) -> Wake:
    kind, _, jobs = line.partition(" ")
    return Wake(WakeKind(kind), tuple(int(job) for job in jobs.split(",")) if jobs.strip() else ())
