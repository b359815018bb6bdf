"""Wakes on their way to other processes: merged, and as text."""

from collections.abc import Iterable

from turnspit.contract.verbs import Wake, WakeKind

__all__ = ["EVERYTHING", "from_text", "merge", "to_text"]

EVERYTHING = tuple(Wake(kind) for kind in WakeKind)
"""What to say to those who may have missed something."""

_MOST_IDS = 200


def merge(wakes: Iterable[Wake]) -> tuple[Wake, ...]:
    """One wake of each kind; too many ids become any."""
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
    """A line for each wake.

    >>> to_text([Wake(WakeKind.FINISHED, (7, 8))])
    'finished 7,8'
    """
    return "\n".join(f"{wake.kind} {','.join(map(str, wake.jobs))}" for wake in wakes)


def from_text(text: str) -> list[Wake]:
    """The wakes of a text; one that a newer release writes in words of its own means anything."""
    try:
        return [_from_line(line) for line in text.splitlines() if line]
    except ValueError:
        return list(EVERYTHING)


def _from_line(line: str) -> Wake:
    kind, _, jobs = line.partition(" ")
    return Wake(WakeKind(kind), tuple(int(job) for job in jobs.split(",")) if jobs.strip() else ())
