"""A store behind a proxy that cuts its connection, and what is in the store afterwards."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg
import pytest

from tests.contract.store import OwnedClock, Store
from tests.on_postgres.workflow_cases import WORKFLOWS
from tests.postgres import new_schema, server, server_url
from tests.proxy import Proxy
from turnspit.contract.verbs import Statement, Verb
from turnspit.engines.postgres import PostgresEngine

__all__ = ["Cut", "cut", "is_of_a_verb"]

TABLES = ("jobs", "history", "attempts", "logs", "workers", "counters", "outbox", "unique_keys", "pauses", *WORKFLOWS)
TABLES += ("alerts", "turns")
_CHANGING = {"id", "job", "writer", "host", "worker", "workflow", "dependency", "dependant", "cancelled_by", "after"}
_CHANGING |= {"results", "starting_after"}


class Cut(NamedTuple):
    """What a test does: run the verb with a fault, and look at the tables."""

    engine: PostgresEngine
    store: Store
    proxy: Proxy
    schema: str
    connection: psycopg.Connection[Any]

    def begin(self) -> None:
        """An empty store, and a connection that is open."""
        self.connection.execute("; ".join(f"DELETE FROM {self.schema}.{table}" for table in TABLES))
        self.store.clock.moment = OwnedClock().moment
        vars(self.store).pop("default_worker", None)
        self.engine.write(nothing)
        self.engine.read(nothing)

    def rows(self) -> Counter[Any]:
        """Everything in the tables but what each run numbers anew."""
        found: Counter[Any] = Counter()
        for table in TABLES:
            cursor = self.connection.execute(f"SELECT to_jsonb(each) FROM {self.schema}.{table} AS each")
            for (row,) in cursor:
                kept = sorted((key, value) for key, value in row.items() if key not in _CHANGING)
                found[table, re.sub(r"job \d+", "job ...", str(kept))] += 1
        return found


def nothing() -> Verb[None]:
    yield Statement("SELECT", {})


def is_of_a_verb(sql: str) -> bool:
    return not sql.startswith(("SHOW", "SET", "SELECT pg_notify", "NOTIFY"))


@pytest.fixture(scope="module")
def cut() -> Iterator[Cut]:
    clock = OwnedClock()
    with new_schema(18) as url, Proxy(server(18).port) as proxy:
        engine = PostgresEngine(proxy.url(url), clock=clock, deadline=10)
        direct = PostgresEngine(url, clock=clock)
        direct.migrate()
        with psycopg.connect(server_url(url), autocommit=True) as connection:
            yield Cut(engine, Store(direct, clock), proxy, engine.settings.schema, connection)
        engine.close()
        direct.close()
