"""When a task runs by itself.

>>> Cron("30 9 * * mon-fri", tz="Europe/Berlin").next_tick(0)
30600000000
>>> Every(minutes=5).next_tick(1_000_000)
300000000
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta, tzinfo
from functools import lru_cache
from typing import Any, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from turnspit.clock import from_moment, to_duration, to_moment
from turnspit.errors import ConfigurationError

__all__ = ["MOST_TICKS", "Cron", "Every", "Rule", "check_rules", "due_ticks", "load_rule", "schedule_names"]

Missed = Literal["skip", "run_once", "run_all"]
Overlap = Literal["allow", "skip", "queue"]

MOST_TICKS = 100
"""Ticks that ``run_all`` makes up for, and that wait with ``overlap="queue"``."""
_LATE = 60_000_000
"""With ``missed="skip"``, a tick still runs if it is no later than this."""
_SECOND = 1_000_000
_UNITS = ((86_400 * _SECOND, "d"), (3600 * _SECOND, "h"), (60 * _SECOND, "min"), (_SECOND, "s"))
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS = ("second", "minute", "hour", "day of the month", "month", "day of the week")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recurring:
    """What every rule has beside its times."""

    args: Mapping[str, Any] = field(default_factory=dict)
    missed: Missed = "skip"
    overlap: Overlap = "allow"

    def _check(self) -> None:
        if not isinstance(self.args, Mapping):
            raise ConfigurationError(f"args is a dict of the task's arguments, not {self.args!r}")
        if self.missed not in ("skip", "run_once", "run_all"):
            raise ConfigurationError(f'missed is "skip", "run_once" or "run_all", not {self.missed!r}')
        if self.overlap not in ("allow", "skip", "queue"):
            raise ConfigurationError(f'overlap is "allow", "skip" or "queue", not {self.overlap!r}')


@dataclass(frozen=True, slots=True)
class Cron(_Recurring):
    """At the times of a cron expression.

    :param expression: five fields (minute, hour, day of the month, month, day of the week), or six with the second in
        front; names (``mon``, ``jan``), lists, ranges and steps; or ``@hourly``, ``@daily``, ``@weekly``, ``@monthly``,
        ``@yearly``.
    :param tz: the time zone in which it is read, as ``"Europe/Berlin"``.
    :param args: the task's arguments.
    :param missed: what becomes of ticks that no worker was there for. ``"skip"``: the newest runs if it is at most a
        minute late. ``"run_once"``: the newest runs, however late. ``"run_all"``: each runs, the oldest 100.
    :param overlap: what a tick does while the job of an earlier one has not ended. ``"allow"``: it runs beside it.
        ``"skip"``: it does not run. ``"queue"``: it runs after it; at most 100 wait.

    ::

        @app.task(schedule=Cron("0 9 * * *", tz="Europe/Berlin", missed="run_once"))
        def daily_report(job: JobContext) -> None: ...
    """

    expression: str
    tz: str = "UTC"

    def __post_init__(self) -> None:
        self._check()
        _check_zone(self.tz)
        _check_cron(self.expression)
        if self.next_tick(0) is None:
            raise ConfigurationError(f"cron {self.expression!r} never comes: no such day exists")

    def next_tick(self, after: int, start: int = 0) -> int | None:
        """The first tick after a moment; ``None`` if none comes."""
        zone: tzinfo = ZoneInfo(self.tz)
        ticks = CronSim(_plain(self.expression), from_moment(after).astimezone(zone))
        for tick in ticks:
            moment = to_moment(tick)
            if moment > after:
                return moment
        return None

    def dump(self) -> str:
        """As it is stored."""
        return json.dumps({"cron": self.expression, "tz": self.tz})

    def __str__(self) -> str:
        return f"{self.expression} {self.tz}"


@dataclass(frozen=True, slots=True, init=False)
class Every(_Recurring):
    """Again and again after the same time.

    :param days: and ``hours``, ``minutes``, ``seconds``: how long from one tick to the next; at least a second.
    :param aligned: ticks fall on whole multiples since 1970 UTC, as on 9:00, 9:05, 9:10. With ``False`` they are
        counted from the moment when the store first heard of the schedule.

    The other parameters are those of ``Cron``.

    ::

        @app.task(schedule=Every(minutes=5, overlap="skip"))
        def poll_partner() -> None: ...
    """

    interval: int
    """Microseconds."""
    aligned: bool

    def __init__(
        self,
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        aligned: bool = True,
        args: Mapping[str, Any] | None = None,
        missed: Missed = "skip",
        overlap: Overlap = "allow",
    ) -> None:
        try:
            interval = to_duration(timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds), "Every")
        except (TypeError, ValueError, OverflowError) as error:
            raise ConfigurationError(f"Every takes numbers of days, hours, minutes and seconds: {error}") from None
        if interval < _SECOND:
            raise ConfigurationError("Every needs at least one second: Every(minutes=5)")
        values = {"interval": interval, "aligned": aligned, "args": args or {}, "missed": missed, "overlap": overlap}
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._check()

    def next_tick(self, after: int, start: int = 0) -> int | None:
        """The first tick after a moment; ``start`` is when an unaligned one began."""
        origin = 0 if self.aligned else start
        return origin + ((after - origin) // self.interval + 1) * self.interval

    def dump(self) -> str:
        """As it is stored."""
        return json.dumps({"every": self.interval, "aligned": self.aligned})

    def __str__(self) -> str:
        parts, left = [], self.interval
        for size, unit in _UNITS:
            count, left = divmod(left, size)
            parts += [f"{count:,} {unit}"] if count else []
        return " ".join(["every", *parts, *([f"{left / 1000:g} ms"] if left else [])])


Rule = Cron | Every


@lru_cache(1024)
def load_rule(text: str) -> Rule:
    """A stored rule.

    :raises ConfigurationError: if this release or machine cannot read it.
    """
    try:
        stored = json.loads(text)
        if "cron" in stored:
            return Cron(stored["cron"], stored["tz"])
        return Every(seconds=stored["every"] / _SECOND, aligned=stored["aligned"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"this release cannot read the schedule {text}") from error


def check_rules(schedule: Rule | Sequence[Rule] | None) -> tuple[Rule, ...]:
    """The rules of ``schedule=``.

    :raises ConfigurationError: for anything else.
    """
    rules = () if schedule is None else tuple(schedule) if isinstance(schedule, list | tuple) else (schedule,)
    for rule in rules:
        if not isinstance(rule, Cron | Every):
            raise ConfigurationError(f"schedule takes Cron(...), Every(...) or a list of them, not {rule!r}")
    return rules


def schedule_names(task: str, rules: Sequence[Rule]) -> list[str]:
    """The names of a task's schedules: the first is named like the task, the others ``task-2``, ``task-3``."""
    return [task if number == 1 else f"{task}-{number}" for number, _ in enumerate(rules, 1)]


def due_ticks(rule: Rule, missed: str, first: int, start: int, now: int) -> list[int]:
    """The ticks from ``first`` to ``now`` that run, oldest first."""
    if missed == "run_all":
        ticks = [first]
        while len(ticks) < MOST_TICKS and (tick := rule.next_tick(ticks[-1], start)) is not None and tick <= now:
            ticks.append(tick)
        return ticks
    newest = _newest(rule, first, start, now)
    return [newest] if missed == "run_once" or now - newest <= _LATE else []


def _newest(rule: Rule, first: int, start: int, now: int) -> int:
    """The last tick that is not after ``now``: looked for near it, so that a year's ticks are not walked through."""
    window, newest = _LATE, first
    while window < now - first:
        tick = rule.next_tick(now - window, start)
        if tick is not None and tick <= now:
            newest = tick
            break
        window *= 30
    while (tick := rule.next_tick(newest, start)) is not None and tick <= now:
        newest = tick
    return newest


def _plain(expression: str) -> str:
    return _NICKNAMES.get(expression.strip().lower(), expression)


def _check_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, TypeError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise ConfigurationError(f'tz is the name of a time zone, as "Europe/Berlin", not {name!r}') from None


def _check_cron(expression: str) -> None:
    """Refuse a wrong expression, with the place of the first mistake."""
    if not isinstance(expression, str):
        raise ConfigurationError(f'a cron expression is a text, as "0 9 * * *", not {expression!r}')
    fields = _plain(expression).split()
    if len(fields) not in (5, 6):
        raise ConfigurationError(
            f"cron {expression!r} has {len(fields)} fields: it takes five (minute, hour, day of the month, month, day "
            f"of the week), six with the second in front, or one of {', '.join(_NICKNAMES)}"
        )
    names = _FIELDS[6 - len(fields) :]
    column = 0
    for place, text in enumerate(fields):
        column = expression.find(text, column) + 1
        alone = ["*"] * len(fields)
        alone[place] = text
        try:
            CronSim(" ".join(alone), from_moment(0))
        except (CronSimError, ValueError):
            raise ConfigurationError(
                f"cron {expression!r}: {text!r} at position {column} is no {names[place]}"
            ) from None
        column += len(text) - 1
    try:
        CronSim(_plain(expression), from_moment(0))
    except (CronSimError, ValueError) as error:
        raise ConfigurationError(f"cron {expression!r} never comes: {error}") from None
