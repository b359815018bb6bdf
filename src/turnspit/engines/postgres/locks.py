"""Who holds locks that others wait for."""

from collections.abc import Mapping

from turnspit.contract.verbs import Statement, Verb
from turnspit.records import StoreLock

__all__ = ["find_lock"]

_SHORT = 5
"""Seconds that a transaction may hold a lock that others want."""
_PATIENCE = 1
"""Seconds that a session may wait for one."""


def find_lock(sql: Mapping[str, str], schema: str) -> Verb[StoreLock | None]:
    """The oldest transaction that others wait for with work in this schema, or that has a whole table of it locked.

    Workers and callers wait some seconds and ask again later, so that at a moment nobody may wait.
    """
    params = {"schema": schema, "short": _SHORT, "patience": _PATIENCE}
    rows = yield Statement(sql["find_lock"], params)
    if not rows:
        return None
    pid, name, state, seconds, waiting, table = rows[0]
    who = ", ".join(part for part in (name, state, None if seconds is None else f"begun {seconds} s ago") if part)
    held = f"{schema}.{table}" if table else f"rows of {schema}"
    text = f"pid {pid} ({who}) keeps {held} locked"
    if waiting:
        text += f", and {waiting} {'session waits' if waiting == 1 else 'sessions wait'} for it"
    return StoreLock(text, f"let that transaction end, or SELECT pg_terminate_backend({pid})")
