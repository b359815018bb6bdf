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
import pytest
from hypothesis import Phase, settings

from tests.conftest import ENGINES
from tests.contract.store import Store, folder_in_memory
from tests.model import idle, keys, limits, machine, ticks
from tests.model.expiry import WithExpiry
from tests.model.idle import WithIdleWorkers
from tests.model.keys import WithKeys
from tests.model.limits import WithLimits
from tests.model.ticks import WithTicks
from tests.postgres import new_database, server_url, with_schema
from turnspit.contract.control import Control
from turnspit.contract.jobs import Jobs
from turnspit.contract.leases import Leases
from turnspit.contract.limits import Limits
from turnspit.contract.pauses import Pauses
from turnspit.contract.queries import Queries
from turnspit.contract.schedules import Schedules
from turnspit.contract.uniqueness import Uniqueness
from turnspit.engines import open_engine
from turnspit.records.moves import MOVED_TABLES

SOAK = int(os.environ.get("TURNSPIT_SOAK", "0"))
pytestmark = pytest.mark.timeout(0 if SOAK else 240)  # 30 s on a busy machine
NO_VERB_OF_A_JOB = {"list_logs", "group_dead_letters", "list_workers", "ask_worker", "declare_schedules"}
NO_VERB_OF_A_JOB |= {"list_full_keys"}
"""What is only looked at or about releases, and has its own tests in ``tests/contract``."""
TABLES = [table.name for table in MOVED_TABLES] + ["counters"]


class SqliteAndModel(WithKeys, WithLimits, WithTicks, WithExpiry, WithIdleWorkers):
    @contextmanager
    def new_engine(self) -> Iterator[Any]:
        with folder_in_memory() as folder:
            yield open_engine(f"sqlite:///{folder}/jobs.db", durability="relaxed")


class PostgresAndModel(WithKeys, WithLimits, WithTicks, WithExpiry, WithIdleWorkers):
    """One schema for all runs: making it takes longer than a run."""

    @contextmanager
    def new_engine(self) -> Iterator[Any]:
        url = model_schema()
        engine = open_engine(url, durability="relaxed")
        engine.migrate()
        with psycopg.connect(server_url(url), autocommit=True) as connection:
            connection.execute("TRUNCATE " + ", ".join(f"turnspit_model.{table}" for table in TABLES))
        yield engine


@cache
def model_schema() -> str:
    return with_schema(new_database(), "turnspit_model")


def settings_of(examples: int) -> settings:
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
    TestSqliteAndModel.settings = settings_of(50)

if "postgres18" in ENGINES:
    TestPostgresAndModel = PostgresAndModel.TestCase
    TestPostgresAndModel.settings = settings_of(12)


def test_every_verb_of_the_contract_is_in_the_model() -> None:
    source = "".join(map(inspect.getsource, (machine, idle, keys, limits, ticks)))
    parts = (Control, Jobs, Leases, Limits, Pauses, Queries, Schedules, Uniqueness)
    verbs = {name for part in parts for name in vars(part) if not name.startswith("_")}
    in_words = set(re.findall(r"self\.engine\.(\w+)", inspect.getsource(Store)))
    missing = {verb for verb in verbs if f"engine.{verb}" not in source} - in_words
    assert missing == NO_VERB_OF_A_JOB
