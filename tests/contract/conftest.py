"""The engines that the contract suite runs on."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.store import OwnedClock, Store
from turnspit.contract import Engine
from turnspit.engines import open_engine

ENGINES = ["sqlite"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where the system has such a place: nothing here pulls the plug."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="turnspit-", dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


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
