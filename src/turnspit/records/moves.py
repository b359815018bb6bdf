"""What moving a store to another one needs to know."""

from typing import NamedTuple

__all__ = ["LEFT_TABLES", "MOVED_TABLES", "Column", "MoveRecord", "MovedTable", "Position"]


class MovedTable(NamedTuple):
    """A table whose rows are moved. Its columns are read from the catalogue."""

    name: str
    """As on PostgreSQL; on SQLite it begins with ``turnspit_``."""
    key: tuple[str, ...]
    """The columns by whose order its rows are read."""
    is_history: bool = False
    """Whether it is moved only on request."""
    follows_job: bool = False
    """Whether its rows are moved if their ``job`` is."""
    is_frozen: bool = True
    """Whether its rows no longer change once a store is frozen, so that they can be compared at the end."""
    is_numbered: bool = False
    """Whether its ``id`` numbers rows by itself, and has to continue after the last one given."""


MOVED_TABLES = (
    MovedTable("workers", ("id",), is_frozen=False, is_numbered=True),  # attempts name them
    MovedTable("jobs", ("id",), is_numbered=True),
    MovedTable("attempts", ("job", "fence"), follows_job=True),
    MovedTable("logs", ("id",), follows_job=True, is_numbered=True),
    MovedTable("unique_keys", ("key",)),
    MovedTable("pauses", ("kind", "name")),
    MovedTable("schedules", ("app", "name")),
    MovedTable("schedule_releases", ("app", "release")),
    MovedTable("lanes", ("lane",), is_frozen=False),
    MovedTable("limits", ("key",), is_frozen=False),
    MovedTable("slots", ("job", "key"), is_frozen=False),
    MovedTable("limit_changes", ("name",)),
    MovedTable("workflows", ("id",), is_numbered=True),
    MovedTable("workflow_jobs", ("job",)),
    MovedTable("workflow_edges", ("dependency", "dependant")),
    MovedTable("workflow_ends", ("job",)),
    MovedTable("outbox", ("job", "fence")),
    MovedTable("history", ("id",), is_history=True),
)
"""What is moved, in this order. A test fails for a table that is in neither list."""

LEFT_TABLES = {
    "alerts": "they are found anew",
    "turns": "when the old store's workers do their duties",
    "counters": "figures of the last hours, which begin anew",
    "moves": "each store's own record",
    "migrations": "each store's own schema",
    "schema": "the same, in a file",
}
"""What is not moved, and why."""


class Column(NamedTuple):
    """A column as the catalogue has it."""

    name: str
    type: str


class Position(NamedTuple):
    """How far the rows of a table have been moved."""

    rows: int
    key: list[int | str] | None


class MoveRecord(NamedTuple):
    """A store's own record of a move."""

    token: str
    """The same in both stores."""
    role: str
    """``source`` or ``target``."""
    other: str
    """Where the other store is."""
    with_history: bool
    ended_at: int | None
    positions: dict[str, Position]
    """By table; kept in the target."""

    @property
    def closes(self) -> str | None:
        """Why nothing is enqueued or claimed in this store, and what to do; ``None`` where it has been filled."""
        if self.ended_at is not None:
            return None if self.role == "target" else f"it has moved to {self.other}: point the app's URL there"
        if self.role == "source":
            return f"it is frozen while its jobs move to {self.other}: go on with turnspit move, or give up with --thaw"
        return f"it is being filled from {self.other}, and not complete: go on with turnspit move"
