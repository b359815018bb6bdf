"""An app on a file, its ledger, and a worker that takes over from those that die."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.programs import HEARTBEAT, LEASE, make_app, make_ledger
from tests.faults.scene import Scene
from turnspit import Turnspit


class Ledger:
    """What handlers did, written through connections of their own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        make_ledger(str(path))

    def rows(self, what: str) -> list[tuple[int, int]]:
        """Job and attempt of every entry."""
        connection = sqlite3.connect(self.path)
        rows = connection.execute("SELECT job, attempt FROM ledger WHERE what = ? ORDER BY rowid", (what,)).fetchall()
        connection.close()
        return rows


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "jobs.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
def ledger(folder: Path) -> Ledger:
    return Ledger(folder / "ledger.db")


@pytest.fixture
def shop(url: str, ledger: Ledger) -> Iterator[Turnspit]:
    """The same app that ``programs.py`` has."""
    with make_app(url, str(ledger.path)) as app:
        yield app


@pytest.fixture
def scene(store_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    scene = Scene(store_url, folder, monkeypatch)
    yield scene
    scene.app.close()


@pytest.fixture
def survivor(shop: Turnspit):
    """A worker in this process with a short lease."""
    return shop.worker(lease=LEASE, heartbeat=HEARTBEAT, concurrency=4, grace=1)
