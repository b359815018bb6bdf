"""Random graphs with random failures, kills, replays and additions: the engine and the model tell the same story, each
job begins after its dependencies, and every workflow ends.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import psycopg

from tests.conftest import ENGINES
from tests.contract.store import folder_in_memory
from tests.model.test_model import pytestmark, settings_of
from tests.model.workflows import WorkflowAndModel
from tests.postgres import new_database, server_url, with_schema
from turnspit.engines import open_engine

__all__ = ["pytestmark"]


class EndingWorkflows(WorkflowAndModel):
    def teardown(self) -> None:
        if hasattr(self, "flow"):
            self.end_all()
        super().teardown()


class SqliteWorkflows(EndingWorkflows):
    @contextmanager
    def new_engine(self) -> Iterator[Any]:
        with folder_in_memory() as folder:
            yield open_engine(f"sqlite:///{folder}/jobs.db", durability="relaxed")


class PostgresWorkflows(EndingWorkflows):
    """One schema for all runs: making it takes longer than a run."""

    @contextmanager
    def new_engine(self) -> Iterator[Any]:
        url = model_schema()
        engine = open_engine(url, durability="relaxed")
        engine.migrate()
        with psycopg.connect(server_url(url), autocommit=True) as connection:
            tables = ["jobs", "history", "attempts", "workers", "counters", "workflows"]
            tables += ["workflow_jobs", "workflow_edges", "workflow_ends"]
            connection.execute("TRUNCATE " + ", ".join(f"turnspit_flows.{table}" for table in tables))
        yield engine


@cache
def model_schema() -> str:
    return with_schema(new_database(), "turnspit_flows")


if "sqlite" in ENGINES:
    TestSqliteWorkflows = SqliteWorkflows.TestCase
    TestSqliteWorkflows.settings = settings_of(50)

if "postgres18" in ENGINES:
    TestPostgresWorkflows = PostgresWorkflows.TestCase
    TestPostgresWorkflows.settings = settings_of(12)
