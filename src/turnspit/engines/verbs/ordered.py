"""Lanes whose jobs run in order. The first job of a key, whatever its lane, is the only one that may begin.

A job counts until it has ended for good: while it is held, while it runs, and while it waits for its retry. So the
order needs no memory of its own, and outlives crashes.
"""

import json
from dataclasses import dataclass
from typing import NamedTuple

from turnspit.records import Lane, LimitRule
from turnspit.states import JobState

__all__ = ["Head", "WaitingLane", "put_in_order"]

_SOON = 20_000
_LOOK_AGAIN = 5_000_000
"""A person may have cancelled the job that is waited for."""


class Head(NamedTuple):
    """The first job of an ordered key."""

    order: str
    id: int
    lane: str
    state: str
    run_at: int
    may_begin: bool
    """Neither paused nor expired."""


class After(NamedTuple):
    """What the store keeps of a lane that was looked at."""

    lane: str
    next_at: int | None
    parked_on: str | None = None


@dataclass(slots=True)
class WaitingLane:
    """A lane that is due, in one claim."""

    text: str
    waiting: int
    rules: tuple[LimitRule, ...]
    order: str | None
    share: int = 0
    claimed: int = 0
    head: int | None = None
    after: After | None = None

    @classmethod
    def of(cls, text: str, waiting: int) -> "WaitingLane":
        """The lane of a text, and how many wait in it."""
        lane = Lane.from_text(text)
        return cls(
            text, waiting, lane.rules, None if lane.order is None else json.dumps(lane.order, ensure_ascii=False)
        )

    def park(self, now: int) -> After:
        """It waits for the end of the job that runs."""
        assert self.order is not None
        return After(self.text, now, json.loads(self.order))


def put_in_order(lanes: list[WaitingLane], heads: dict[str, Head], now: int) -> list[After]:
    """Let each ordered lane begin with its key's first job if that is its own; the lanes to be looked at instead."""
    here = {lane.text for lane in lanes}
    instead: dict[str, After] = {}
    for lane in lanes:
        if lane.order is None:
            continue
        others_wait, lane.waiting = bool(lane.waiting), 0
        head = heads.get(lane.order)
        if head is None:
            continue
        if head.state == JobState.HELD and head.may_begin:
            if head.lane == lane.text:
                lane.waiting, lane.head = 1, head.id
                continue
            if head.lane not in here:
                instead[head.lane] = After(head.lane, now)
            lane.after = lane.park(now)
        elif head.state == JobState.RUNNING:
            lane.after = lane.park(now)
        else:
            until = head.run_at if head.state == JobState.SCHEDULED else now
            lane.after = After(lane.text, min(max(until, now + _SOON), now + _LOOK_AGAIN))
        if not others_wait:
            lane.after = After(lane.text, None)
    return list(instead.values())
