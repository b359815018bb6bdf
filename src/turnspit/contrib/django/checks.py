"""What ``manage.py check`` says of the database with the jobs."""

from typing import Any

from django.core.checks import CheckMessage, Warning  # noqa: A004 (Django's name)
from django.db import connections

from turnspit.contrib.django.settings import read_settings

__all__ = ["check_transaction_mode"]


def check_transaction_mode(**_: Any) -> list[CheckMessage]:
    """On SQLite a transaction that has read before it writes cannot wait for another writer, as a worker is."""
    alias = read_settings().database
    if alias is None or connections[alias].vendor != "sqlite":
        return []
    mode = connections[alias].settings_dict["OPTIONS"].get("transaction_mode") or "DEFERRED"
    if mode.upper() in ("IMMEDIATE", "EXCLUSIVE"):
        return []
    warning = Warning(
        f"The database {alias!r} is SQLite: an atomic() that reads before it writes fails with 'database is locked' "
        "whenever a worker writes.",
        hint=f'Put "OPTIONS": {{"transaction_mode": "IMMEDIATE", "timeout": 20}} into DATABASES[{alias!r}].',
        id="turnspit.W001",
    )
    return [warning]
