"""The engines that the contract suite runs on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import schema_for
from tests.contract.store import OwnedClock, Store
from tests.postgres import VERSIONS
from turnspit.contract import Engine
from turnspit.engines import open_engine

ENGINES = ["sqlite", *(f"postgres{version}" for version in VERSIONS)]


@pytest.fixture
def clock() -> OwnedClock:
    return OwnedClock()


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """A store of its own for each test: a file, or a schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{folder}/jobs.db"
    else:
        with schema_for(request, int(request.param.removeprefix("postgres"))) as url:
            yield url


@pytest.fixture
def engine(url: str, clock: OwnedClock) -> Iterator[Engine]:
    engine = open_engine(url, durability="relaxed")
    engine.clock = clock
    yield engine
    engine.close()


@pytest.fixture
def store(engine: Engine, clock: OwnedClock) -> Store:
    return Store(engine, clock)
