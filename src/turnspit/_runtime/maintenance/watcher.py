"""Looks for what an app's alerts are about, once in the fleet, and tells of it."""

import logging
from collections.abc import Sequence

from turnspit._runtime.calling import call_listener
from turnspit.alerts import DEAD_MINUTES, ERROR_MINUTES, Alert, AlertRule, Found, Sight, find_alerts
from turnspit.clock import from_moment
from turnspit.contract import Engine
from turnspit.contract.verbs import Verb
from turnspit.loads import LOAD_MOST
from turnspit.records import AlertChange

__all__ = ["Watcher"]

logger = logging.getLogger("turnspit")

_INTERVAL = 15.0


class Watcher:
    """Whoever's turn it is looks, every 15 seconds; the store knows which alerts last, so that each is told once."""

    name = "watcher"

    def __init__(self, engine: Engine, app: str, rules: Sequence[AlertRule]) -> None:
        self._engine = engine
        self._app = app
        self._rules = rules

    async def run_once(self) -> float:
        """Look, if it is this worker's turn; seconds until the next one."""
        remaining = await self._engine.awrite(self._engine.take_turn, f"alerts {self._app}", int(_INTERVAL * 1_000_000))
        if remaining:
            return remaining / 1_000_000
        sight = await self._engine.aread(self._look)
        for rule in self._rules:
            await self._settle(rule, find_alerts(rule, sight))
        return _INTERVAL

    def _look(self) -> Verb[Sight]:
        engine = self._engine
        counts = yield from engine.count_queues(LOAD_MOST)
        errors = yield from engine.list_counters(ERROR_MINUTES, ERROR_MINUTES)
        ends = yield from engine.list_counters(DEAD_MINUTES, DEAD_MINUTES)
        workers, pauses = (yield from engine.list_workers()), (yield from engine.list_pauses())
        return Sight(counts, errors, ends, workers, pauses, (yield from engine.find_unknown_tasks()))

    async def _settle(self, rule: AlertRule, found: list[Found]) -> None:
        by_name = {(each.kind, each.subject): each for each in found}
        settle = self._engine.settle_alerts
        changes = await self._engine.awrite(settle, self._app, rule.name, by_name.keys(), rule.repeat)
        for change in changes:
            await self._tell(rule, _alert(change, by_name.get((change.kind, change.subject))))

    async def _tell(self, rule: AlertRule, alert: Alert) -> None:
        logger.log(logging.INFO if alert.state == "over" else logging.WARNING, "alert: %s", alert.text)
        await call_listener(rule.function, alert, failure=f"the alert function {rule.name} failed")


def _alert(change: AlertChange, found: Found | None) -> Alert:
    since = from_moment(change.since)
    text = f"over: {change.kind} of {change.subject}" if found is None else found.text
    value = None if found is None else found.value
    return Alert(change.kind, change.subject, change.state, since, text, value)
