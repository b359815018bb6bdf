"""Fixtures for all tests of this repository.

``app``   an app on a file of its own, on the system's clock: for tests with real workers, processes and time.
``t``     a ``turnspit.testing.TestStore`` over a fresh app (``t.app``), on a clock that the test owns: for the rest.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.contract.store import folder_in_memory
from tests.postgres import new_schema, prepared_schema
from turnspit import Turnspit
from turnspit.testing import TestStore

# How long a machine that others use takes for an example says nothing about the code.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

# What a shell starts behind it (make test &) ignores Ctrl-C, and so would programs of tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # what nohup ignores, programs of tests would ignore too

ENGINES = os.environ.get("TURNSPIT_TEST_ENGINES", "sqlite,postgres18").split(",")


@pytest.fixture(autouse=True)
def _no_store_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TURNSPIT_URL", raising=False)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A temporary folder whose path is short enough for a socket in it; pytest's own ``tmp_path`` may not be."""
    with folder_in_memory() as path:
        yield path


def schema_for(request: pytest.FixtureRequest, version: int) -> AbstractContextManager[str]:
    """A schema that has its tables already, unless the test is about how it gets them."""
    is_unprepared = request.node.get_closest_marker("unprepared") is not None
    return new_schema(version) if is_unprepared else prepared_schema(version)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with a store runs on every engine, unless it is marked as one of a file's own."""
    if "store_url" in metafunc.fixturenames and "on_postgres" not in metafunc.module.__name__:
        is_of_files = metafunc.definition.get_closest_marker("on_sqlite") is not None
        metafunc.parametrize("store_url", ["sqlite"] if is_of_files else ENGINES, indirect=True)


@pytest.fixture
def store_url(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """A store of its own: ``folder/jobs.db``, or a PostgreSQL schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{folder}/jobs.db"
    else:
        with schema_for(request, int(request.param.removeprefix("postgres"))) as url:
            yield url


@pytest.fixture
def app(store_url: str) -> Iterator[Turnspit]:
    """An app on a store of its own, closed after the test."""
    with Turnspit(store_url) as app:
        yield app


@pytest.fixture
def turnspit_app() -> Turnspit:
    """The app of ``t``. The URL leads nowhere: whatever is not kept away from it fails."""
    return Turnspit("sqlite:////nonexistent/turnspit.db")


@pytest.fixture
def t(turnspit_store: TestStore) -> TestStore:
    """A private store on a clock that the test owns."""
    return turnspit_store
