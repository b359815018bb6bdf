"""Dead letters by what went wrong, as ``app.jobs.dead_groups`` shows them."""

from dataclasses import dataclass
from datetime import datetime

from turnspit.clock import from_moment
from turnspit.records import DeadGroupRecord

__all__ = ["DeadGroup", "to_dead_groups"]


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """Dead letters that share a task, an error type and a normalised message."""

    fingerprint: str
    """What they share, for ``app.jobs.replay(fingerprint=...)``."""
    task: str
    error_type: str
    message: str
    """Of one of them: they differ in numbers and quoted parts at most."""
    count: int
    newest_id: int
    first_at: datetime
    """When the first of them ended."""
    last_at: datetime
    """When the newest one ended."""


def to_dead_groups(records: list[DeadGroupRecord]) -> list[DeadGroup]:
    """Stored groups, with datetimes in place of microseconds."""
    return [
        DeadGroup(
            each.fingerprint,
            each.task,
            each.error_type,
            each.message,
            each.count,
            each.newest_id,
            from_moment(each.first_at),
            from_moment(each.last_at),
        )
        for each in records
    ]
