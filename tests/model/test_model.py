"""Random operations on an engine and on the model: both must tell the same story.

``make test`` runs a short, always equal selection. A soak runs for long, differently each time, and makes a failure
as small as it can::

    make soak-model EXAMPLES=20000
"""

import inspect
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import psycopg
from hypothesis import Phase, settings

from tests.conftest import ENGINES
from tests.contract.store import Store, folder_in_memory
from tests.model import machine
from tests.model.machine import EngineAndModel
from tests.postgres import new_database, server_url, with_schema
from turnspit.contract.control import Control
from turnspit.contract.jobs import Jobs
from turnspit.contract.leases import Leases
from turnspit.contract.pauses import Pauses
from turnspit.contract.queries import Queries
from turnspit.engines import open_engine

SOAK = int(os.environ.get("TURNSPIT_SOAK", "0"))
NO_VERB_OF_A_JOB = {"list_logs", "group_dead_letters", "list_workers"}
"""What is only looked at, and has its own tests in ``tests/contract``."""


class SqliteAndModel(EngineAndModel):
    @contextmanager
    def new_engine(self) -> Iterator[Any]:
        with folder_in_memory() as folder:
            yield open_engine(f"sqlite:///{folder}/jobs.db", durability="relaxed")


class PostgresAndModel(EngineAndModel):
    """One schema for all runs: making it takes longer than a run."""

    @contextmanager
    def new_engine(self) -> Iterator[Any]:
        url = model_schema()
        engine = open_engine(url, durability="relaxed")
        engine.migrate()
        with psycopg.connect(server_url(url), autocommit=True) as connection:
            tables = ["jobs", "history", "attempts", "logs", "workers", "counters", "outbox", "unique_keys", "pauses"]
            connection.execute("TRUNCATE " + ", ".join(f"turnspit_model.{table}" for table in tables))
        yield engine


@cache
def model_schema() -> str:
    return with_schema(new_database(), "turnspit_model")


def limits(examples: int) -> settings:
    return settings(
        max_examples=SOAK or examples,
        stateful_step_count=200 if SOAK else 60,
        derandomize=not SOAK,
        phases=list(Phase) if SOAK else [Phase.generate],  # shrinking a failure takes minutes
        database=None,
        deadline=None,
    )


if "sqlite" in ENGINES:
    TestSqliteAndModel = SqliteAndModel.TestCase
    TestSqliteAndModel.settings = limits(50)

if "postgres18" in ENGINES:
    TestPostgresAndModel = PostgresAndModel.TestCase
    TestPostgresAndModel.settings = limits(12)


def test_every_verb_of_the_contract_is_in_the_model() -> None:
    source = inspect.getsource(machine)
    verbs = {
        name for part in (Control, Jobs, Leases, Pauses, Queries) for name in vars(part) if not name.startswith("_")
    }
    in_words = set(re.findall(r"self\.engine\.(\w+)", inspect.getsource(Store)))
    missing = {verb for verb in verbs if f"engine.{verb}" not in source} - in_words
    assert missing == NO_VERB_OF_A_JOB
