"""The PostgreSQL engine: one database, any number of processes on any number of machines."""

from turnspit.engines.postgres.engine import PostgresEngine

__all__ = ["PostgresEngine"]
