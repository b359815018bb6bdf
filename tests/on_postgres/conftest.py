"""An app on a schema of its own, and the application's own table beside it."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.conftest import schema_for
from tests.contract.store import OwnedClock, Store
from tests.on_postgres.cutting import cut
from tests.postgres import VERSIONS, server_url
from turnspit import Turnspit
from turnspit.engines import open_engine

__all__ = ["cut"]


@pytest.fixture(params=VERSIONS)
def store_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A schema of its own on each version."""
    with schema_for(request, request.param) as url:
        yield url


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """The verbs on a clock that the test owns."""
    engine = open_engine(store_url)
    engine.clock = clock = OwnedClock()
    yield Store(engine, clock)
    engine.close()


@pytest.fixture
def plain_url(store_url: str) -> str:
    """The database itself, as the application's own connections name it."""
    return server_url(store_url)


@pytest.fixture
def app(store_url: str) -> Iterator[Turnspit]:
    with Turnspit(store_url) as app:
        app.migrate()
        yield app


@pytest.fixture
def send(app: Turnspit) -> Any:
    @app.task
    async def send(order_id: int) -> int:
        return order_id

    return send


@pytest.fixture
def connection(plain_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the application's."""
    with psycopg.connect(plain_url) as connection:
        yield connection
