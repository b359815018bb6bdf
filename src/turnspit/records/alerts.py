"""Alerts: what lasts, and what changed."""

from typing import Literal, NamedTuple

__all__ = ["AlertChange", "AlertKind", "AlertState", "UnknownTask"]

AlertKind = Literal["oldest", "error_rate", "dead", "no_worker", "blocked"]
AlertState = Literal["begins", "lasts", "over"]


class AlertChange(NamedTuple):
    """A change of an alert, for whoever is to be told."""

    kind: AlertKind
    subject: str
    state: AlertState
    since: int
    """Microseconds since 1970 UTC."""


class UnknownTask(NamedTuple):
    """A task with jobs that are held because no live worker knew it."""

    task: str
    since: int
    """When the first one was due: microseconds since 1970 UTC."""
