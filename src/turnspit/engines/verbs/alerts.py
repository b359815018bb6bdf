"""The verbs of ``contract/alerts.py``, on any engine."""

from collections.abc import Collection

from turnspit.contract.verbs import Statement, Verb
from turnspit.engines.verbs.base import VerbBase
from turnspit.records import AlertChange, AlertKind, UnknownTask

__all__ = ["AlertVerbs"]


class AlertVerbs(VerbBase):
    """Alerts and turns."""

    def take_turn(self, name: str, interval: int) -> Verb[int]:
        params = {"now": self.clock.now(), "name": name, "interval": interval}
        if (yield Statement(self.sql["take_turn"], params)):
            return 0
        [(remaining,)] = yield Statement(self.sql["take_turn_next"], params)
        return max(1, int(remaining))

    def settle_alerts(
        self, app: str, rule: str, found: Collection[tuple[AlertKind, str]], repeat: int
    ) -> Verb[list[AlertChange]]:
        params = {"now": self.clock.now(), "app": app, "rule": rule, "repeat": repeat}
        changes: list[AlertChange] = []
        for kind, subject in found:
            row = params | {"kind": kind, "subject": subject}
            for (since,) in (yield Statement(self.sql["settle_alerts_begin"], row)):
                changes.append(AlertChange(kind, subject, "begins", since))
            for (since,) in (yield Statement(self.sql["settle_alerts_repeat"], row)):
                changes.append(AlertChange(kind, subject, "lasts", since))
        for kind, subject in (yield Statement(self.sql["settle_alerts_list"], params)):
            if (kind, subject) not in found:
                row = params | {"kind": kind, "subject": subject}
                for (since,) in (yield Statement(self.sql["settle_alerts_end"], row)):
                    changes.append(AlertChange(kind, subject, "over", since))
        return changes

    def find_unknown_tasks(self) -> Verb[list[UnknownTask]]:
        return sorted(UnknownTask(*row) for row in (yield Statement(self.sql["find_unknown_tasks"], {})))
