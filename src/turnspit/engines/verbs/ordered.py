"""Lanes whose jobs run in order: of all jobs of an ordered key, in whichever lanes, only the first may begin.

A job is the first until it has reached a final state: while it is held, while it runs, and while it waits for a retry.
So the order needs no storage of its own, and outlives crashes.
"""

import json
from dataclasses import dataclass
from typing import NamedTuple

from turnspit.records import Lane, LimitRule
from turnspit.states import JobState

__all__ = ["After", "Head", "WaitingLane", "put_in_order"]

_SOON = 20_000
_LOOK_AGAIN = 5_000_000
"""Microseconds after which a lane is due again in any case: the job it waits for may have been cancelled."""


class Head(NamedTuple):
    """The first job of an ordered key."""

    order: str
    id: int
    lane: str
    state: str
    run_at: int
    may_begin: bool
    """It is neither paused nor expired."""
    is_paused: bool


class After(NamedTuple):
    """What is stored of a lane that was looked at: when it is due again, or the key that it waits for."""

    lane: str
    next_at: int | None
    parked_on: str | None = None


@dataclass(slots=True)
class WaitingLane:
    """A lane that is due, while one claim works on it."""

    text: str
    waiting: int
    """How many jobs may begin, as far as its limits let them."""
    rules: tuple[LimitRule, ...]
    order: str | None
    """Its ordered key, as JSON text."""
    share: int = 0
    """How many jobs this claim is to take from it."""
    claimed: int = 0
    head: int | None = None
    """The first job of its ordered key, if that is the one to claim."""
    after: After | None = None

    @classmethod
    def of(cls, text: str, waiting: int) -> "WaitingLane":
        """The lane of a stored text, with how many jobs wait in it."""
        lane = Lane.from_text(text)
        return cls(
            text, waiting, lane.rules, None if lane.order is None else json.dumps(lane.order, ensure_ascii=False)
        )

    def park(self, now: int) -> After:
        """Let it wait for the end of the job that runs."""
        assert self.order is not None
        return After(self.text, now, json.loads(self.order))


def put_in_order(lanes: list[WaitingLane], heads: dict[str, Head], now: int) -> list[After]:
    """Let each ordered lane claim only its key's first job, if that is in the lane.

    :returns: lanes that are due instead, because they hold the first job of a key.
    """
    here = {lane.text for lane in lanes}
    instead: dict[str, After] = {}
    for lane in lanes:
        if lane.order is None:
            continue
        others_wait, lane.waiting = bool(lane.waiting), 0
        head = heads.get(lane.order)
        if head is None:
            continue
        may_begin = head.state == JobState.HELD and head.may_begin
        if may_begin and head.lane == lane.text:
            lane.waiting, lane.head = 1, head.id
            continue
        if may_begin and head.lane not in here:
            instead[head.lane] = After(head.lane, now)
        lane.after = _behind(lane, head, now) if others_wait else After(lane.text, None)
    return list(instead.values())


def _behind(lane: WaitingLane, head: Head, now: int) -> After:
    """What to store of a lane whose key's first job is elsewhere, or may not begin."""
    is_about_to_run = head.state == JobState.HELD and head.may_begin
    if is_about_to_run or head.state == JobState.RUNNING:
        return lane.park(now)
    return After(lane.text, min(max(_may_begin_at(head, now), now + _SOON), now + _LOOK_AGAIN))


def _may_begin_at(head: Head, now: int) -> int:
    """The earliest moment at which the first job of a key may begin that may not begin now."""
    if head.state == JobState.SCHEDULED:
        return head.run_at
    # The end of a pause makes the job's lane due by itself, and an expired job is cancelled any moment.
    return now + _LOOK_AGAIN if head.is_paused else now
