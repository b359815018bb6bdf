"""The statements of this engine."""

from turnspit.engines.sqlfile import load_blocks

__all__ = ["SQL"]

# SQLite's own clock has milliseconds; :now lets a test own it.
_NOW = "coalesce(:now, CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000)"

_PAUSED_QUEUES = "(SELECT name FROM turnspit_pauses WHERE kind = 'queue')"
_PAUSED_TASKS = "(SELECT name FROM turnspit_pauses WHERE kind = 'task')"
# Of a job: the text for `paused_by` if one of its tags is paused. Asked only of jobs that have tags. Those of a foreign
# writer may be no JSON: they are not paused.
_PAUSED_TAG = """(SELECT 'tag ' || pause.name FROM turnspit_pauses AS pause
     WHERE pause.kind = 'tag' AND pause.name IN (
         SELECT value FROM json_each(CASE WHEN json_valid(tags) THEN tags END)) LIMIT 1)"""

# As in the index jobs_ordered: the key of a job that runs in order, and whether it is one that has not ended.
_ORDER = "substr(lane, 1, instr(lane, char(10)) - 1)"
_ORDERED = """substr(lane, 1, 1) = '"'
  AND (state = 'held' OR state = 'running' OR state = 'scheduled' AND started_at IS NOT NULL)"""

SQL = load_blocks(
    "turnspit.engines.sqlite",
    (
        "jobs",
        "control",
        "queries",
        "figures",
        "leases",
        "uniqueness",
        "limits",
        "pauses",
        "alerts",
        "moves",
        "schedules",
        "workflows",
    ),
    {
        "now": _NOW,
        "paused_queues": _PAUSED_QUEUES,
        "paused_tasks": _PAUSED_TASKS,
        "paused_tag": _PAUSED_TAG,
        "order": _ORDER,
        "ordered": _ORDERED,
    },
)
"""Every block of ``sql/*.sql`` by its name."""
