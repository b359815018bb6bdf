"""The statements of this engine."""

from turnspit.engines.sqlfile import load_blocks

__all__ = ["SQL"]

# SQLite's own clock has milliseconds; :now lets a test own it.
_NOW = "coalesce(:now, CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000)"

SQL = load_blocks(
    "turnspit.engines.sqlite",
    ("jobs", "control", "queries", "figures", "leases", "uniqueness", "limits", "moves", "schedules"),
    {"now": _NOW},
)
"""Every block of ``sql/*.sql`` by its name."""
