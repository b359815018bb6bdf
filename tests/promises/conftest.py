"""A small shop, and another connection to its file."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from turnspit import Turnspit


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "jobs.db"


@pytest.fixture
def connection(path: Path, app: Turnspit) -> Iterator[sqlite3.Connection]:
    """The application's own connection to the same file, with a table of its own."""
    app.migrate()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    connection.commit()
    yield connection
    connection.close()
