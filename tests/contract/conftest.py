"""The engines that the contract suite runs on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.store import OwnedClock, Store, folder_in_memory
from turnspit.contract import Engine
from turnspit.engines import open_engine

ENGINES = ["sqlite"]


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_in_memory() as folder:
        yield folder


@pytest.fixture
def clock() -> OwnedClock:
    return OwnedClock()


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, folder: Path) -> str:
    """A store of its own for each test."""
    return {"sqlite": f"sqlite:///{folder}/jobs.db"}[request.param]


@pytest.fixture
def engine(url: str, clock: OwnedClock) -> Iterator[Engine]:
    engine = open_engine(url, durability="relaxed")
    engine.clock = clock
    yield engine
    engine.close()


@pytest.fixture
def store(engine: Engine, clock: OwnedClock) -> Store:
    return Store(engine, clock)
