"""The SQLite engine: one file, any number of processes on one machine."""

from turnspit.engines.sqlite.engine import SqliteEngine

__all__ = ["SqliteEngine"]
