"""A store for the app of ``tasks.py``, and a look at what is left when a test ends."""

from collections.abc import Iterator

import psutil
import pytest

from tests.behaviour.support import wait_until
from tests.isolation import tasks
from turnspit import Turnspit


@pytest.fixture
def app(store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Turnspit]:
    """The app, on a store of its own, also in its processes; none of them is left behind."""
    monkeypatch.setenv("TURNSPIT_URL", store_url)
    tasks.app.configure(store_url)
    before = set(psutil.Process().children(recursive=True))
    yield tasks.app
    tasks.app.close()
    wait_until(lambda: not set(psutil.Process().children(recursive=True)) - before, "the end of every process")


def is_alive(pid: int) -> bool:
    """Whether a process is there, and not only its entry."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
