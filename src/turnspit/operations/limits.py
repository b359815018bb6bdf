"""Limits at run time: ``app.limits``."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from turnspit.client import Stored
from turnspit.clock import Duration, end_of, monotonic, sleep, thread_sleep
from turnspit.contract import Engine
from turnspit.contract.verbs import Verb
from turnspit.errors import ConfigurationError, LimitTimeout
from turnspit.limits import Concurrency, Limit, Rate
from turnspit.operations.pages import check_size
from turnspit.records import FullKey, LimitChange, LimitRule

__all__ = ["LimitInfo", "Limits"]

_LONGEST_WAIT = 1.0


class LimitInfo(NamedTuple):
    """A limit as it applies now."""

    name: str
    """Of a task, ``queue`` and a queue's name, or a name given to ``Turnspit(limits=)``."""
    kind: str
    """``rate`` or ``concurrency``."""
    allowed: int
    per: float | None
    """Seconds; of a rate."""
    burst: int | None
    declared: int | None
    """How many the app allows; ``None`` where this app does not declare it."""
    is_changed: bool
    """Whether it was changed at run time."""


LimitInfos = list[LimitInfo]  # inside Limits, ``list`` is the method
FullKeys = list[FullKey]


class Limits:
    """Look at limits, change them for all workers, and let code outside jobs wait for them."""

    def __init__(self, app: Stored, named: Mapping[str, Rate]) -> None:
        for name, rate in named.items():
            if not isinstance(rate, Rate) or rate.key is not None:
                raise ConfigurationError(f"limit {name} is a Rate without a key, not {rate!r}")
        self._app = app
        self._named = dict(named)

    def acquire(self, name: str, *, timeout: Duration | None = None) -> None:
        """Wait until a named rate lets one more through, and take that permit: for code that is not a job.

        :param timeout: seconds or ``timedelta`` to wait at most.
        :raises LimitTimeout: if none was free in that time; nothing was taken.
        :raises ConfigurationError: if ``Turnspit(limits=)`` has no such name.

        ::

            app = Turnspit(limits={"partner-api": Rate(10, per=1.0)})
            app.limits.acquire("partner-api")
        """
        rule, until = self._rule(name), end_of(timeout)
        engine = self._app.engine
        while wait := engine.write(engine.acquire_permit, rule):
            thread_sleep(_pause(name, wait, until))

    async def aacquire(self, name: str, *, timeout: Duration | None = None) -> None:
        """``acquire`` for async code."""
        rule, until = self._rule(name), end_of(timeout)
        engine = self._app.engine
        while wait := await engine.awrite(engine.acquire_permit, rule):
            await sleep(_pause(name, wait, until))

    def list(self) -> LimitInfos:
        """Every limit that the app declares or that was changed, by name."""
        return self._merged(self._app.engine.read(self._app.engine.list_limits))

    async def alist(self) -> LimitInfos:
        """``list`` for async code."""
        return self._merged(await self._app.engine.aread(self._app.engine.list_limits))

    def full_keys(self, limit: int = 100) -> FullKeys:
        """The keys of limits that let none of their waiting jobs begin now: as many jobs run as a concurrency allows,
        or a rate is used up. Limits that only other apps on the store declare are included, and so are the names of
        ``Turnspit(limits=)`` that are used up, whether anybody waits for them or not.

        :param limit: how many at most, up to 1,000, by name and key.

        ::

            for full in app.limits.full_keys():
                print(full.name, full.kind, full.key, full.taken, "of", full.allowed, full.opens_at)

            # call_partner concurrency [7] 2 of 2 None
            # call_partner rate [7] 10 of 10 2026-11-26 21:04:18+00:00
        """
        return self._app.engine.read(self._app.engine.list_full_keys, check_size(limit), self._named_rules())

    async def afull_keys(self, limit: int = 100) -> FullKeys:
        """``full_keys`` for async code."""
        return await self._app.engine.aread(self._app.engine.list_full_keys, check_size(limit), self._named_rules())

    def set(self, name: str, limit: Rate | Concurrency) -> None:
        """Change a limit, for every key and in every worker, until ``reset``: it wins over what tasks declare.

        :param name: a task's name, ``"queue heavy"``, or a name of ``Turnspit(limits=)``.
        :param limit: the key stays as it is declared.
        :raises ConfigurationError: if the app declares no limit of this kind and name.

        ::

            app.limits.set("call_partner", Rate(2, per=1.0))
        """
        self._app.engine.write(self._app.engine.set_limit, self._change(name, limit))

    async def aset(self, name: str, limit: Rate | Concurrency) -> None:
        """``set`` for async code."""
        await self._app.engine.awrite(self._app.engine.set_limit, self._change(name, limit))

    def reset(self, name: str) -> bool:
        """Forget what was changed about a limit, so that what the app declares applies again.

        :returns: ``False`` if nothing was changed.
        """
        engine = self._app.engine
        return engine.write(_reset, engine, name)

    async def areset(self, name: str) -> bool:
        """``reset`` for async code."""
        engine = self._app.engine
        return await engine.awrite(_reset, engine, name)

    def _declared(self) -> dict[str, LimitChange]:
        limits: list[tuple[str, Limit]] = [
            (task.name, limit) for task in self._app.tasks.tasks for limit in task.limits
        ]
        limits += [each for queue in self._app.queue_limits.values() for each in queue]
        limits += self._named.items()
        return {change.name: change for owner, limit in limits for change in [limit.as_change(owner)]}

    def _named_rules(self) -> tuple[LimitRule, ...]:
        return tuple(rate.rule(name, {}) for name, rate in self._named.items())

    def _merged(self, changes: Iterable[LimitChange]) -> LimitInfos:
        stored, declared = list(changes), self._declared()
        applied = declared | {change.name: change for change in stored}
        changed = {change.name for change in stored}
        return [_info(applied[name], declared.get(name), is_changed=name in changed) for name in sorted(applied)]

    def _change(self, name: str, limit: Rate | Concurrency) -> LimitChange:
        if not isinstance(limit, Rate | Concurrency):
            raise ConfigurationError(f"a limit is a Rate(...) or a Concurrency(...), not {limit!r}")
        change = limit.as_change(name)
        if change.name not in self._declared():
            known = ", ".join(sorted(self._declared())) or "none"
            raise ConfigurationError(f"this app declares no {limit.what} of {name!r}; it declares: {known}")
        return change

    def _rule(self, name: str) -> LimitRule:
        if name not in self._named:
            known = ", ".join(sorted(self._named)) or "none"
            raise ConfigurationError(
                f"no limit is named {name!r}: declare it with Turnspit(limits=); there are: {known}"
            )
        return self._named[name].rule(name, {})


def _reset(engine: Engine, name: str) -> Verb[bool]:
    rate = yield from engine.reset_limit(f"{name} rate")
    concurrency = yield from engine.reset_limit(f"{name} concurrency")
    return rate or concurrency


def _info(change: LimitChange, declared: LimitChange | None, *, is_changed: bool) -> LimitInfo:
    name, _, kind = change.name.rpartition(" ")
    per = change.per / 1_000_000 if change.per else None
    return LimitInfo(
        name, kind, change.allowed, per, change.burst, None if declared is None else declared.allowed, is_changed
    )


def _pause(name: str, wait: int, until: float | None) -> float:
    """Seconds to wait before asking again. At most one, because the limit may be changed meanwhile.

    :raises LimitTimeout: if the time-out would be over by then.
    """
    seconds = min(_LONGEST_WAIT, wait / 1_000_000)
    if until is not None and monotonic() + seconds > until:
        raise LimitTimeout(f"limit {name} lets nothing through within the time-out")
    return seconds
